mod build;
mod deltas;
mod formats;
mod holding;
mod labelling;
mod pages;
mod properties;
mod refused;
