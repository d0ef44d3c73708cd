//! The keys that are looked for.

/// Finds keys by length and two of their bytes, then by their ends, then whole. For most attributes the first look says
/// that it is none of them.
#[derive(Debug, Clone)]
pub(super) struct KeyTable {
    /// For each length the [`sign`]s of the keys that have it. The last class holds all longer keys.
    signs: [u64; LENGTHS],
    /// For each length the place of the first key that has it or a greater one.
    first: [u8; LENGTHS + 1],
    /// In the order of lengths.
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    /// Keys of one length often begin alike (`http.request.`), and end differently.
    end: u64,
    key: Box<[u8]>,
}

/// Lengths with a class of their own. Conventions of OpenTelemetry name hardly an attribute with more.
const LENGTHS: usize = 64;

impl KeyTable {
    /// The table of these different keys, at most 128, and which of them stands at each of its places.
    pub(super) fn new<'k>(keys: impl Iterator<Item = &'k [u8]>) -> (Self, Vec<usize>) {
        let mut sorted: Vec<(usize, &[u8])> = keys.enumerate().collect();
        sorted.sort_by_key(|(_, key)| class(key));
        let first = std::array::from_fn(|length| {
            let shorter = sorted.partition_point(|(_, key)| class(key) < length);
            u8::try_from(shorter).unwrap_or(u8::MAX)
        });
        let mut signs = [0; LENGTHS];
        for (_, key) in &sorted {
            signs[class(key)] |= sign(key);
        }
        let order = sorted.iter().map(|(place, _)| *place).collect();
        let keys = sorted
            .into_iter()
            .map(|(_, key)| Key {
                end: end(key),
                key: key.into(),
            })
            .collect();
        (Self { signs, first, keys }, order)
    }

    /// The place of a key.
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        let signs = self.signs[class(key)];
        if signs == 0 || signs & sign(key) == 0 {
            return None;
        }
        self.find_among(key)
    }

    /// Apart, so that what most attributes need stays a few instructions.
    #[inline(never)]
    fn find_among(&self, key: &[u8]) -> Option<usize> {
        let class = class(key);
        let [first, next] = [self.first[class], self.first[class + 1]].map(usize::from);
        let end = end(key);
        let same = |known: &Key| known.end == end && *known.key == *key;
        let place = self.keys.get(first..next)?.iter().position(same)?;
        Some(first + place)
    }
}

/// One of 64 bits, by the last byte and the one in the middle.
#[inline]
fn sign(key: &[u8]) -> u64 {
    let middle = key.get(key.len() / 2).copied().unwrap_or_default();
    let last = key.last().copied().unwrap_or_default();
    1 << (last.wrapping_add(middle.wrapping_mul(7)) % 64)
}

#[inline]
fn class(key: &[u8]) -> usize {
    key.len().min(LENGTHS - 1)
}

/// The last eight bytes; of a shorter key all of them, some twice.
#[inline]
fn end(key: &[u8]) -> u64 {
    if let Some(last) = key.last_chunk() {
        return u64::from_le_bytes(*last);
    }
    match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        (_, _) => key.iter().fold(0, |end, byte| end << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_found_and_none_that_is_not_there() {
        let keys: Vec<String> = (0..100usize)
            .map(|n| format!("{}{}", "k".repeat(n), n % 10))
            .chain(["http.request.method", "http.response.code!", ""].map(str::to_owned))
            .collect();
        let (table, order) = KeyTable::new(keys.iter().map(|key| key.as_bytes()));
        for (place, key) in keys.iter().enumerate() {
            let found = table.find(key.as_bytes()).unwrap();
            assert_eq!(order[found], place, "{key}");
            assert_eq!(table.find(format!("{key}x").as_bytes()), None, "{key}");
            let mut other = key.clone().into_bytes();
            if let Some(first) = other.first_mut() {
                *first = b'X';
                assert_eq!(table.find(&other), None, "{key}");
            }
        }
        let (none, _) = KeyTable::new(std::iter::empty());
        assert_eq!(none.find(b"a"), None);
    }
}
