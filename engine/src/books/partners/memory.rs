//! The partners that the writer has read: who they are, and who has which code. A fact that makes or changes a partner
//! forgets them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;
use weir_schemas::ids::{PartnerId, ProgramId, WorkspaceId};
use weir_schemas::partner::PartnerSpec;

use super::super::outcome::StoreError;
use super::{CodeKind, find, holder};

/// Partners and codes remembered at once, each; beyond them all are read anew.
const PARTNERS_KEPT_MAX: usize = 100_000;

type CodeKey = (WorkspaceId, CodeKind, String);

/// What is remembered of partners.
#[derive(Debug, Default)]
pub(in crate::books) struct KnownPartners {
    specs: RefCell<HashMap<(WorkspaceId, PartnerId), Arc<PartnerSpec>>>,
    holders: RefCell<HashMap<CodeKey, PartnerId>>,
}

impl KnownPartners {
    pub(in crate::books) fn forget(&self) {
        self.specs.borrow_mut().clear();
        self.holders.borrow_mut().clear();
    }

    /// A partner; `None` where there is no such partner.
    pub(in crate::books) fn spec(
        &self,
        db: &Connection,
        workspace: WorkspaceId,
        id: PartnerId,
    ) -> Result<Option<Arc<PartnerSpec>>, StoreError> {
        if id == PartnerId::NONE {
            return Ok(None);
        }
        if let Some(known) = self.specs.borrow().get(&(workspace, id)) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some((partner, _)) = find(db, workspace, id)? else { return Ok(None) };
        let spec = Arc::new(partner.spec);
        bounded(&mut self.specs.borrow_mut()).insert((workspace, id), Arc::clone(&spec));
        Ok(Some(spec))
    }

    /// A partner's own program, `NONE` where it has none.
    pub(in crate::books) fn program(
        &self,
        db: &Connection,
        workspace: WorkspaceId,
        id: PartnerId,
    ) -> Result<ProgramId, StoreError> {
        Ok(self.spec(db, workspace, id)?.and_then(|spec| spec.program_id).unwrap_or_default())
    }

    /// Who has a code or coupon, whatever its case.
    pub(in crate::books) fn holder(
        &self,
        db: &Connection,
        workspace: WorkspaceId,
        kind: CodeKind,
        code: &str,
    ) -> Result<Option<PartnerId>, StoreError> {
        let key = (workspace, kind, code.to_owned());
        if let Some(known) = self.holders.borrow().get(&key) {
            return Ok(Some(*known));
        }
        let found = holder(db, workspace, kind, code)?;
        if let Some(partner) = found {
            bounded(&mut self.holders.borrow_mut()).insert(key, partner);
        }
        Ok(found)
    }
}

fn bounded<K, V>(kept: &mut HashMap<K, V>) -> &mut HashMap<K, V> {
    if kept.len() >= PARTNERS_KEPT_MAX {
        kept.clear();
    }
    kept
}
