//! What must hold of any tensors that are read.

use amaes_core::weights::{StateDict, identify, parameters};

/// Uses what a reader has let through.
pub fn check(mut state: StateDict) {
    let mut bytes = 0usize;
    for (name, data) in state.iter() {
        bytes += data.as_bytes().len();
        if let Ok(values) = state.f32(name) {
            assert_eq!(values.num_elements(), data.num_elements());
        }
    }
    assert!(bytes < 64 << 20, "{bytes} bytes of tensors");
    let _ = state.preview();
    if let Ok(found) = identify(&mut state, None) {
        let expected = parameters(&found.spec).expect("valid sizes");
        assert_eq!(expected.len(), state.len());
        for (name, shape) in expected {
            assert_eq!(state.shape(&name), Some(&shape[..]));
        }
    }
}
