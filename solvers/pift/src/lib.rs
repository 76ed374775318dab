//! hjbridge-pift
