//! The scrape endpoint: series held and written as text.
