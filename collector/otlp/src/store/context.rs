//! Contexts: what stands around spans, stored once however many requests bring it.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

use super::slots::Slots;
use crate::edit::{ResourceEdit, edit_resource};
use crate::walk::ContextHead;

/// A context in the store, until its last record and its last `begin` are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContextId(pub(super) u32);

/// The contexts: a scope's fields and, apart from them, their resource's, which other scopes share.
#[derive(Debug)]
pub(super) struct Contexts {
    resources: Interner,
    /// Owned by a resource; the numbers are those of the contexts.
    scopes: Interner,
}

/// Byte strings, each stored once, with counts of who needs them.
#[derive(Debug)]
struct Interner {
    state: FixedState,
    entries: Slots<Entry>,
    index: HashTable<u32>,
    /// Capacities of all entries' bytes.
    allocated: usize,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    /// Equal bytes of different owners are different.
    owner: u32,
    users: u32,
    bytes: Vec<u8>,
    /// The bytes as they leave, once they were asked for; only of resources.
    edited: Option<Box<[u8]>>,
}

/// The index is made smaller when it has room for this many ...
const SHRINK_ABOVE: usize = 1024;
/// ... and for so many times more than it holds.
const SHRINK_RATIO: usize = 8;

// === impl Contexts ===

impl Contexts {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            resources: Interner::new(seed),
            scopes: Interner::new(seed),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.scopes.entries.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.resources.memory_bytes() + self.scopes.memory_bytes()
    }

    /// [`Self::memory_bytes`] counted anew.
    #[cfg(test)]
    pub(super) fn counted_memory(&self) -> usize {
        let count = |interner: &Interner| -> usize {
            let bytes: usize = interner.entries.iter().map(Entry::allocated).sum();
            bytes + interner.entries.memory_bytes() + interner.index.allocation_size()
        };
        count(&self.resources) + count(&self.scopes)
    }

    /// The number of these fields, which has one user more then.
    pub(super) fn hold(&mut self, request: &[u8], context: ContextHead<'_>) -> ContextId {
        let (resource, _) = self.resources.intern(0, request, context.resource);
        let (scope, is_new) = self.scopes.intern(resource, request, context.scope);
        if !is_new {
            // The scope that was there uses the resource already.
            self.resources.release(resource);
        }
        ContextId(scope)
    }

    /// One user more.
    pub(super) fn retain(&mut self, context: ContextId) {
        if let Some(entry) = self.scopes.entries.get_mut(context.0) {
            entry.users += 1;
        }
    }

    /// One user less; freed with the last.
    pub(super) fn release(&mut self, context: ContextId) {
        if let Some(owner) = self.scopes.release(context.0) {
            self.resources.release(owner);
        }
    }

    /// Equal for contexts of equal resources.
    pub(super) fn resource_id(&self, context: ContextId) -> u32 {
        self.scopes.entries.get(context.0).map_or(0, |scope| scope.owner)
    }

    /// The resource's fields with the edits done that [`Self::edit`] was told, else as they came.
    pub(super) fn resource(&self, context: ContextId) -> &[u8] {
        let entry = self.resources.entries.get(self.resource_id(context));
        entry.map_or(&[], |entry| entry.edited.as_deref().unwrap_or(&entry.bytes))
    }

    /// Edits the context's resource, unless that was done before: a resource has many traces.
    pub(super) fn edit(&mut self, context: ContextId, edits: &[ResourceEdit]) {
        if edits.is_empty() {
            return;
        }
        let owner = self.resource_id(context);
        if let Some(entry) = self.resources.entries.get_mut(owner)
            && entry.edited.is_none()
        {
            let edited = edit_resource(&entry.bytes, edits).into_boxed_slice();
            self.resources.allocated += edited.len();
            entry.edited = Some(edited);
        }
    }

    /// Bytes of resource and scope as they came.
    pub(super) fn stored_len(&self, context: ContextId) -> u64 {
        let resource = self.resources.bytes(self.resource_id(context));
        (resource.len() + self.scope(context).len()) as u64
    }

    pub(super) fn scope(&self, context: ContextId) -> &[u8] {
        self.scopes.bytes(context.0)
    }
}

// === impl Entry ===

impl Entry {
    fn allocated(&self) -> usize {
        self.bytes.capacity() + self.edited.as_ref().map_or(0, |edited| edited.len())
    }
}

// === impl Interner ===

impl Interner {
    fn new(seed: u64) -> Self {
        Self {
            state: FixedState::with_seed(seed),
            entries: Slots::new(),
            index: HashTable::new(),
            allocated: 0,
        }
    }

    fn memory_bytes(&self) -> usize {
        self.allocated + self.entries.memory_bytes() + self.index.allocation_size()
    }

    fn bytes(&self, index: u32) -> &[u8] {
        self.entries.get(index).map_or(&[], |entry| &entry.bytes)
    }

    /// The number of these bytes, with one user more, and whether they are new.
    fn intern(&mut self, owner: u32, request: &[u8], pieces: &[Range<usize>]) -> (u32, bool) {
        let mut hasher = self.state.build_hasher();
        hasher.write_u32(owner);
        for piece in pieces {
            hasher.write(slice(request, piece));
        }
        let hash = hasher.finish();
        let entries = &self.entries;
        let found = self.index.find(hash, |index| {
            entries.get(*index).is_some_and(|entry| {
                entry.hash == hash && entry.owner == owner && equals(&entry.bytes, request, pieces)
            })
        });
        if let Some(&index) = found {
            if let Some(entry) = self.entries.get_mut(index) {
                entry.users += 1;
            }
            return (index, false);
        }
        let mut bytes = Vec::with_capacity(pieces.iter().map(Range::len).sum());
        for piece in pieces {
            bytes.extend_from_slice(slice(request, piece));
        }
        self.allocated += bytes.capacity();
        let index = self.entries.insert(Entry {
            hash,
            owner,
            users: 1,
            bytes,
            edited: None,
        });
        let entries = &self.entries;
        self.index
            .insert_unique(hash, index, |index| hash_of(entries, *index));
        (index, true)
    }

    /// One user less. The owner, if that was the last.
    fn release(&mut self, index: u32) -> Option<u32> {
        let entry = self.entries.get_mut(index)?;
        entry.users -= 1;
        if entry.users > 0 {
            return None;
        }
        let entry = self.entries.remove(index)?;
        self.allocated -= entry.allocated();
        if let Ok(found) = self.index.find_entry(entry.hash, |other| *other == index) {
            found.remove();
        }
        let capacity = self.index.capacity();
        if self.index.is_empty() {
            self.index = HashTable::new();
        } else if capacity > SHRINK_ABOVE && capacity > self.index.len() * SHRINK_RATIO {
            let entries = &self.entries;
            // Half of it stays free, so that growing again is far off.
            self.index
                .shrink_to(self.index.len() * 2, |index| hash_of(entries, *index));
        }
        Some(entry.owner)
    }
}

fn hash_of(entries: &Slots<Entry>, index: u32) -> u64 {
    entries.get(index).map_or(0, |entry| entry.hash)
}

/// Empty when the piece is not of this request, which is a fault of the caller.
fn slice<'a>(request: &'a [u8], piece: &Range<usize>) -> &'a [u8] {
    request.get(piece.clone()).unwrap_or_default()
}

fn equals(mut bytes: &[u8], request: &[u8], pieces: &[Range<usize>]) -> bool {
    for piece in pieces {
        match bytes.strip_prefix(slice(request, piece)) {
            Some(rest) => bytes = rest,
            None => return false,
        }
    }
    bytes.is_empty()
}
