//! hjbridge-rollout
