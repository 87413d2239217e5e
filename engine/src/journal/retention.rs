//! Retention: old traffic is deleted once every follower has it. Facts are never deleted.

use std::path::Path;
use std::time::{Duration, SystemTime};

use weir_schemas::ids::Sequence;

use super::JournalError;
use super::segment::{self, Family};

/// Deletes traffic segments whose entries are all at or before `passed` (the least durable watermark of the
/// followers) and that were last written more than `retention` before `now`. The newest segment stays. Gives
/// how many were deleted.
pub fn delete_expired(
    folder: &Path,
    passed: Sequence,
    retention: Duration,
    now: SystemTime,
) -> Result<usize, JournalError> {
    let segments = segment::list(folder, Family::Traffic)?;
    let mut deleted = 0;
    for pair in segments.windows(2) {
        let [segment, next] = pair else { unreachable!("windows of two") };
        let failed = |e| JournalError::failed("delete", &segment.path, e);
        let written = std::fs::metadata(&segment.path).and_then(|data| data.modified()).map_err(failed)?;
        let old = now.duration_since(written).is_ok_and(|age| age > retention);
        if next.first > passed + 1 || !old {
            break;
        }
        std::fs::remove_file(&segment.path).map_err(failed)?;
        deleted += 1;
    }
    Ok(deleted)
}

/// The least sequence of traffic that is still in the journal; `None` where there was never any.
pub fn oldest_traffic(folder: &Path) -> Result<Option<Sequence>, JournalError> {
    Ok(segment::list(folder, Family::Traffic)?.first().map(|segment| segment.first))
}
