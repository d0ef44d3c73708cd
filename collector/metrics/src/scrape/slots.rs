//! Places for series.

use super::families::Place;
use super::series::Series;

/// Series at places that stay the same while they are held.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<Place>,
}

#[derive(Debug, Default)]
struct Slot {
    /// How many series have been here before.
    generation: u32,
    series: Option<Series>,
}

/// A series that was at a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handle {
    place: Place,
    generation: u32,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn get(&self, place: Place) -> Option<&Series> {
        self.slots.get(place)?.series.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Series> {
        self.slots.get_mut(place)?.series.as_mut()
    }

    /// What says later whether the series at `place` is still the one that is there now.
    pub(super) fn handle(&self, place: Place) -> Handle {
        let generation = self.slots.get(place).map_or(0, |slot| slot.generation);
        Handle { place, generation }
    }

    /// Where a series is, if it is held still.
    pub(super) fn find(&self, handle: Handle) -> Option<Place> {
        let slot = self.slots.get(handle.place)?;
        (slot.generation == handle.generation && slot.series.is_some()).then_some(handle.place)
    }

    pub(super) fn insert(&mut self, series: Series) -> Place {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        if let Some(slot) = self.slots.get_mut(place) {
            slot.series = Some(series);
        }
        place
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Series> {
        let slot = self.slots.get_mut(place)?;
        let series = slot.series.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(place);
        Some(series)
    }

    /// The places that hold a series, and the series.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Series)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(place, slot)| Some((place, slot.series.as_ref()?)))
    }
}
