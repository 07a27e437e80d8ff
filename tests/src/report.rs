//! Tables of the reports.
