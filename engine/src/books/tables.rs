//! The in-memory tables that other threads read: links by host and slug, API keys by secret, webhook endpoints and
//! sites by id, partners by mail address. Loaded from the books at the start, and brought up to date after each commit
//! by the ids that it touched.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use weir_schemas::click::Verdict;
use weir_schemas::fact::Sealed;
use weir_schemas::ids::{
    EndpointId, KeyId, LinkId, PartnerId, PostbackTokenId, ProgramId, SiteId, WorkspaceId,
};

use super::apply::Touched;
use super::outcome::StoreError;
use super::{blocklist, fx, links, partners, postback_tokens, reads, sites, splits};
use crate::endpoints::{Endpoint, EndpointTable, SECRET_CONTEXT};
use crate::fx::FxTables;
use crate::keyring::Keyring;
use crate::keys::{KeyTable, Principal};
use crate::links::{LinkTable, TrackedLink};
use crate::partner_addresses::PartnerAddresses;
use crate::postback_tokens::PostbackTable;
use crate::sites::SiteTable;

/// Workspace, provider, sealed secrets, sealed settings, program.
type EndpointRow = (u32, String, String, Option<String>, Option<i64>);

/// The tables and what is needed to keep them.
pub(super) struct Tables {
    pub(super) links: LinkTable,
    pub(super) keys: KeyTable,
    pub(super) endpoints: EndpointTable,
    pub(super) sites: SiteTable,
    pub(super) partner_addresses: PartnerAddresses,
    pub(super) postbacks: PostbackTable,
    pub(super) fx: FxTables,
    keyring: Arc<Keyring>,
    /// Where each live link is in the table.
    placed: HashMap<LinkId, Arc<TrackedLink>>,
}

impl Tables {
    pub(super) fn load(db: &Connection, keyring: Arc<Keyring>) -> Result<Self, StoreError> {
        let mut tables = Self {
            links: LinkTable::default(),
            keys: KeyTable::default(),
            endpoints: EndpointTable::default(),
            sites: SiteTable::default(),
            partner_addresses: PartnerAddresses::default(),
            postbacks: PostbackTable::default(),
            fx: FxTables::default(),
            keyring,
            placed: HashMap::new(),
        };
        for workspace in blocklist::workspaces(db)? {
            tables.links.put_blocklist(workspace, Arc::new(blocklist::load(db, workspace)?));
        }
        let mut statement =
            db.prepare(&format!("SELECT {} FROM links WHERE deleted_at IS NULL", links::COLUMNS))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            tables.place(links::stored(row)?);
        }
        for (link, decision) in splits::last(db)? {
            tables.links.allocations().restore(link, decision);
        }
        for id in ids(db, "SELECT id FROM api_keys WHERE revoked_at IS NULL")? {
            tables.load_key(db, KeyId(id))?;
        }
        for id in ids(db, "SELECT id FROM endpoints WHERE deleted_at IS NULL")? {
            tables.load_endpoint(db, EndpointId(id))?;
        }
        for id in ids(db, "SELECT id FROM sites WHERE deleted_at IS NULL")? {
            tables.load_site(db, SiteId(id))?;
        }
        for id in ids(db, "SELECT id FROM partners WHERE private IS NOT NULL")? {
            tables.load_partner(db, PartnerId(id))?;
        }
        for id in ids(db, "SELECT id FROM postback_tokens WHERE deleted_at IS NULL")? {
            postback_tokens::load(db, &tables.postbacks, PostbackTokenId(id))?;
        }
        for workspace in fx::workspaces(db)? {
            tables.load_fx(db, workspace)?;
        }
        Ok(tables)
    }

    /// Brings the tables up to date after a commit.
    pub(super) fn refresh(&mut self, db: &Connection, touched: &[Touched]) -> Result<(), StoreError> {
        for touched in touched {
            match *touched {
                Touched::Link(id) => self.load_link(db, id)?,
                // A decision that the last run had journaled and not yet booked: only now it is known again.
                Touched::Split(id) => self.links.allocations().restore(id, splits::last_of(db, id)?),
                Touched::Key(id) => self.load_key(db, id)?,
                Touched::Endpoint(id) => self.load_endpoint(db, id)?,
                Touched::Partner(id) => self.load_partner(db, id)?,
                Touched::Site(id) => self.load_site(db, id)?,
                Touched::Blocklist(workspace) => self.load_blocklist(db, workspace)?,
                Touched::PostbackToken(id) => postback_tokens::load(db, &self.postbacks, id)?,
                Touched::Fx(workspace) => self.load_fx(db, workspace)?,
            }
        }
        Ok(())
    }

    fn load_link(&mut self, db: &Connection, id: LinkId) -> Result<(), StoreError> {
        let mut statement = db.prepare_cached(&format!(
            "SELECT {} FROM links WHERE id = ?1 AND deleted_at IS NULL",
            links::COLUMNS
        ))?;
        let mut rows = statement.query([id.0 as i64])?;
        let now = rows.next()?.map(links::stored).transpose()?;
        if let Some(before) = self.placed.remove(&id) {
            let stays = now.as_ref().is_some_and(|now| {
                now.spec.slug == before.spec.slug && now.spec.domain == before.spec.domain
            });
            // A link that stays in its place is replaced there, so that no visitor misses it in between.
            if !stays {
                self.links.remove(id, &before.spec);
            }
        }
        if let Some(now) = now {
            self.place(now);
        }
        Ok(())
    }

    fn place(&mut self, link: links::StoredLink) {
        let list = self.links.blocklist(link.workspace);
        let link = TrackedLink::new(link.id, link.workspace, link.created_at, link.spec).judged_by(&list);
        let link = Arc::new(link);
        self.placed.insert(link.id, Arc::clone(&link));
        self.links.put(link);
    }

    /// Judges every link of the workspace anew; those judged otherwise than before are replaced.
    fn load_blocklist(&mut self, db: &Connection, workspace: WorkspaceId) -> Result<(), StoreError> {
        let list = Arc::new(blocklist::load(db, workspace)?);
        self.links.put_blocklist(workspace, Arc::clone(&list));
        let changed = |link: &&Arc<TrackedLink>| {
            link.workspace == workspace
                && link.closed != Some(Verdict::Disabled)
                && link.closed.is_some() != list.judge(&link.spec).is_some()
        };
        let changed: Vec<LinkId> = self.placed.values().filter(changed).map(|link| link.id).collect();
        changed.into_iter().try_for_each(|id| self.load_link(db, id))
    }

    fn load_key(&mut self, db: &Connection, id: KeyId) -> Result<(), StoreError> {
        let row: Option<(u32, String, Option<i64>, String)> = db
            .prepare_cached(
                "SELECT workspace, role, partner, secret_sha256 FROM api_keys
                 WHERE id = ?1 AND revoked_at IS NULL",
            )?
            .query_row([id.0 as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        match row {
            Some((workspace, role, partner, secret)) => {
                let principal = Principal {
                    workspace: WorkspaceId(workspace),
                    key: id,
                    role: reads::read_role(&role)?,
                    partner: partner.map(|id| PartnerId(id as u64)),
                };
                self.keys.put(&secret, principal);
            }
            None => self.keys.remove(id),
        }
        Ok(())
    }

    fn load_endpoint(&mut self, db: &Connection, id: EndpointId) -> Result<(), StoreError> {
        let row: Option<EndpointRow> = db
            .prepare_cached(
                "SELECT workspace, provider, secrets, settings, program FROM endpoints
                 WHERE id = ?1 AND deleted_at IS NULL",
            )?
            .query_row([id.0 as i64], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })
            .optional()?;
        let Some((workspace, provider, secrets, settings, program)) = row else {
            self.endpoints.remove(id);
            return Ok(());
        };
        let sealed: Vec<Sealed> = serde_json::from_str(&secrets)?;
        self.endpoints.put(Endpoint {
            id,
            workspace: WorkspaceId(workspace),
            provider,
            secrets: sealed.iter().filter_map(|sealed| self.unseal(id, sealed)).collect(),
            settings: settings.and_then(|sealed| self.unseal(id, &Sealed(sealed))),
            program: program.map(|id| ProgramId(id as u64)),
        });
        Ok(())
    }

    fn load_fx(&mut self, db: &Connection, workspace: WorkspaceId) -> Result<(), StoreError> {
        if let Some(table) = fx::load(db, workspace)? {
            self.fx.put(workspace, table);
        }
        Ok(())
    }

    fn load_partner(&self, db: &Connection, id: PartnerId) -> Result<(), StoreError> {
        let (workspace, private): (u32, Option<String>) = db
            .prepare_cached("SELECT workspace, private FROM partners WHERE id = ?1")?
            .query_row([id.0 as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let email = partners::open_partner(&self.keyring, private.map(Sealed).as_ref()).email;
        self.partner_addresses.put(WorkspaceId(workspace), id, email.as_deref());
        Ok(())
    }

    fn load_site(&mut self, db: &Connection, id: SiteId) -> Result<(), StoreError> {
        match sites::live(db, id)? {
            Some(site) => self.sites.put(site),
            None => self.sites.remove(id),
        }
        Ok(())
    }

    /// A secret or setting that cannot be opened verifies nothing; its endpoint answers 401 until it is made anew.
    fn unseal(&self, id: EndpointId, sealed: &Sealed) -> Option<String> {
        let clear = self.keyring.unseal(SECRET_CONTEXT, sealed).ok();
        let clear = clear.and_then(|bytes| String::from_utf8(bytes).ok());
        if clear.is_none() {
            tracing::error!(endpoint = %id, "a signing secret cannot be opened: is this the keyring.db?");
        }
        clear
    }
}

fn ids(db: &Connection, select: &str) -> Result<Vec<u64>, StoreError> {
    let mut statement = db.prepare(select)?;
    let rows = statement.query_map([], |row| row.get::<_, i64>(0))?;
    Ok(rows.map(|id| id.map(|id| id as u64)).collect::<Result<_, _>>()?)
}
