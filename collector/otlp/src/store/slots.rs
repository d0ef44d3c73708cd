//! Values with numbers that stay, and exact knowledge of the memory they take.

/// A list with holes: a value keeps its index until it is removed; holes are filled first.
#[derive(Debug)]
pub(super) struct Slots<T> {
    values: Vec<Option<T>>,
    holes: Vec<u32>,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self {
            values: Vec::new(),
            holes: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len() - self.holes.len()
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.values.get(index as usize)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.values.get_mut(index as usize)?.as_mut()
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.holes.pop() {
            self.values[index as usize] = Some(value);
            return index;
        }
        let index = self.values.len() as u32;
        self.values.push(Some(value));
        index
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.values.get_mut(index as usize)?.take()?;
        self.holes.push(index);
        if self.len() == 0 {
            // A flood must not be remembered by the room it took.
            *self = Self::new();
        }
        Some(value)
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter().flatten()
    }

    /// Of the list itself, not of what its values point to.
    pub(super) fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<Option<T>>() + self.holes.capacity() * size_of::<u32>()
    }
}
