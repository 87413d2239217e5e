//! Which partners have a mail address, so that nobody earns by buying from themselves. Kept current by the books; of an
//! address only a hash is kept, in memory.

use std::sync::Arc;

use papaya::HashMap;
use sha2::{Digest, Sha256};
use weir_schemas::ids::{PartnerId, WorkspaceId};

/// Half a SHA-256 of a folded address.
type AddressHash = [u8; 16];

type Map<K, V> = Arc<HashMap<K, V, ahash::RandomState>>;

/// The map. Clones share it; only the books' thread writes.
#[derive(Debug, Clone, Default)]
pub struct PartnerAddresses {
    partners: Map<(WorkspaceId, AddressHash), Arc<[PartnerId]>>,
    /// Under which address each partner stands.
    placed: Map<PartnerId, (WorkspaceId, AddressHash)>,
}

impl PartnerAddresses {
    /// The partners of a workspace with this address, in the order of their ids.
    pub fn find(&self, workspace: WorkspaceId, address: &str) -> Vec<PartnerId> {
        let partners = self.partners.pin();
        partners.get(&(workspace, hash(address))).map_or_else(Vec::new, |found| found.to_vec())
    }

    /// A partner has this address from now on, or none.
    pub fn put(&self, workspace: WorkspaceId, partner: PartnerId, address: Option<&str>) {
        let (partners, placed) = (self.partners.pin(), self.placed.pin());
        if let Some(before) = placed.remove(&partner) {
            let others = partners.get(before).into_iter().flat_map(|found| found.iter().copied());
            let others: Arc<[PartnerId]> = others.filter(|other| *other != partner).collect();
            if others.is_empty() {
                partners.remove(before)
            } else {
                partners.insert(*before, others)
            };
        }
        if let Some(address) = address {
            let place = (workspace, hash(address));
            let mut now = partners.get(&place).map_or_else(Vec::new, |found| found.to_vec());
            now.push(partner);
            now.sort_unstable();
            partners.insert(place, now.into());
            placed.insert(partner, place);
        }
    }
}

/// Of the address in lower case, without what stands behind a `+`: mail to both reaches the same person.
fn hash(address: &str) -> AddressHash {
    let folded = address.trim().to_lowercase();
    let (name, domain) = folded.rsplit_once('@').unwrap_or((&folded, ""));
    let name = name.split_once('+').map_or(name, |(name, _)| name);
    let digest = Sha256::new().chain_update(name).chain_update("@").chain_update(domain).finalize();
    *digest.first_chunk().expect("a SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_finds_its_partners_however_it_is_written_until_they_have_another() {
        let addresses = PartnerAddresses::default();
        let (here, there) = (WorkspaceId(1), WorkspaceId(2));
        addresses.put(here, PartnerId(7), Some("Ada@Mail.example"));
        addresses.put(here, PartnerId(6), Some("ada+shop@mail.example"));
        for address in ["ada@mail.example", " ADA@MAIL.EXAMPLE ", "ada+x+y@mail.example"] {
            assert_eq!(addresses.find(here, address), [PartnerId(6), PartnerId(7)], "{address}");
        }
        for address in ["ada@mail.example.org", "adam@mail.example", "ada", ""] {
            assert_eq!(addresses.find(here, address), [], "{address}");
        }
        assert_eq!(addresses.find(there, "ada@mail.example"), []);
        addresses.put(here, PartnerId(7), Some("ada@work.example"));
        assert_eq!(addresses.find(here, "ada@mail.example"), [PartnerId(6)]);
        assert_eq!(addresses.find(here, "ada@work.example"), [PartnerId(7)]);
        addresses.put(here, PartnerId(6), None);
        assert_eq!(addresses.find(here, "ada@mail.example"), []);
    }
}
