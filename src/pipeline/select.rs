//! The selection stage.
