//! The HTML report in a real browser: what a reader sees is what the profile holds.

mod browser;
mod capture;
mod estimates;
mod fixture;
mod flame;
mod functions;
mod lanes;
mod names;
mod navigation;
mod search;
mod threads;
mod time_axis;
mod wakes;
