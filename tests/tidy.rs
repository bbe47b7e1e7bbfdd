//! The rules of the source tree as scans that can fail.
