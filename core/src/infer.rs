//! Running a network over a whole volume, and cleaning and measuring its labels.
