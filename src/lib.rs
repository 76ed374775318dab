//! hjbridge
