//! 3-D operations that burn lacks or does slowly.
