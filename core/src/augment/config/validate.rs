//! Parameters that make no sense are refused by name.

use super::super::error::AugmentError;
use super::{AugmentConfig, Transform};

impl AugmentConfig {
    /// Checks every parameter.
    ///
    /// # Errors
    ///
    /// [`AugmentError::Parameter`] names the field and its value.
    pub fn validate(&self) -> Result<(), AugmentError> {
        self.validate_effects()?;
        if let Some(s) = &self.elastic {
            probability("elastic.p", s.p)?;
            range("elastic.sigma", s.sigma, [1.0, 1e3], "1 to 1000 voxels")?;
            range("elastic.alpha", s.alpha, [0.0, 1e6], "0 to 1000000 voxels")?;
        }
        if let Some(s) = &self.rotation {
            probability("rotation.p", s.p)?;
            probability("rotation.p_axis", s.p_axis)?;
            for (axis, angles) in [("x", s.x), ("y", s.y), ("z", s.z)] {
                let field = format!("rotation.{axis}");
                range(&field, angles, [-180.0, 180.0], "-180 to 180 degrees")?;
            }
        }
        if let Some(s) = &self.scale {
            probability("scale.p", s.p)?;
            range("scale.factor", s.factor, [0.1, 10.0], "0.1 to 10")?;
        }
        if let Some(s) = &self.mirror {
            for p in s.p_axis {
                probability("mirror.p_axis", p)?;
            }
        }
        for (name, noise) in [
            ("additive_noise", &self.additive_noise),
            ("multiplicative_noise", &self.multiplicative_noise),
        ] {
            if let Some(s) = noise {
                probability(&format!("{name}.p"), s.p)?;
                let field = format!("{name}.sigma");
                range(&field, s.sigma, [0.0, f64::from(f32::MAX)], "0 or more")?;
            }
        }
        if let Some(s) = &self.blur {
            probability("blur.p", s.p)?;
            probability("blur.p_channel", s.p_channel)?;
            range("blur.sigma", s.sigma, [0.0, 100.0], "0 to 100 voxels")?;
        }
        self.validate_artefacts()
    }

    fn validate_artefacts(&self) -> Result<(), AugmentError> {
        if let Some(s) = &self.motion_ghosting {
            probability("motion_ghosting.p", s.p)?;
            range("motion_ghosting.alpha", s.alpha, [0.0, 10.0], "0 to 10")?;
            let every = s.every.map(|n| n as f64);
            range(
                "motion_ghosting.every",
                every,
                [1.0, 1e6],
                "1 or more planes",
            )?;
        }
        if let Some(s) = &self.gibbs_ringing {
            probability("gibbs_ringing.p", s.p)?;
            range("gibbs_ringing.kept", s.kept, [0.0, 1.0], "0 to 1")?;
        }
        if let Some(s) = &self.low_resolution {
            probability("low_resolution.p", s.p)?;
            probability("low_resolution.p_channel", s.p_channel)?;
            probability("low_resolution.p_axis", s.p_axis)?;
            range("low_resolution.zoom", s.zoom, [0.0, 1.0], "0 to 1")?;
        }
        if let Some(s) = &self.bias_field {
            probability("bias_field.p", s.p)?;
        }
        if let Some(s) = &self.gamma {
            probability("gamma.p", s.p)?;
            probability("gamma.p_invert", s.p_invert)?;
            range("gamma.gamma", s.gamma, [0.01, 100.0], "0.01 to 100")?;
        }
        Ok(())
    }

    /// A transform's usual effect is not asked for by name: such a line would change nothing.
    fn validate_effects(&self) -> Result<(), AugmentError> {
        let refuse = |field: &str, transform: Option<&Transform>, expected| match transform {
            None => Ok(()),
            Some(transform) => Err(AugmentError::Parameter {
                field: field.into(),
                value: transform.name().into(),
                expected,
            }),
        };
        refuse(
            "kept",
            self.kept.iter().find(|t| t.is_spatial()),
            "the target keeps spatial transforms anyway; list intensity transforms",
        )?;
        refuse(
            "reversed",
            self.reversed.iter().find(|t| !t.is_spatial()),
            "intensity transforms are reversed anyway; list spatial transforms",
        )
    }
}

fn probability(field: &str, p: f64) -> Result<(), AugmentError> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(AugmentError::Parameter {
        field: field.into(),
        value: p.to_string(),
        expected: "a probability must be 0 to 1",
    })
}

/// A range must ascend and lie within limits.
fn range(
    field: &str,
    [low, high]: [f64; 2],
    [least, most]: [f64; 2],
    expected: &'static str,
) -> Result<(), AugmentError> {
    let refuse = |expected| AugmentError::Parameter {
        field: field.into(),
        value: format!("[{low}, {high}]"),
        expected,
    };
    // NaN is in no range.
    if !(low >= least && high <= most) {
        return Err(refuse(expected));
    }
    if low > high {
        return Err(refuse("the first number must not be above the second"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Ghosting, Noise, Rotation};
    use super::*;

    #[test]
    fn errors_name_the_field_and_the_value() {
        let says = |config: &AugmentConfig| config.validate().expect_err("refused").to_string();
        let config = AugmentConfig {
            rotation: Some(Rotation {
                y: [20.0, -20.0],
                ..Rotation::default()
            }),
            ..AugmentConfig::default()
        };
        let error = says(&config);
        assert!(error.starts_with("rotation.y is [20, -20]"), "{error}");
        let config = AugmentConfig {
            multiplicative_noise: Some(Noise {
                p: f64::NAN,
                ..Noise::default()
            }),
            ..AugmentConfig::default()
        };
        assert!(says(&config).starts_with("multiplicative_noise.p is NaN"));
        let config = AugmentConfig {
            motion_ghosting: Some(Ghosting {
                every: [0, 4],
                ..Ghosting::default()
            }),
            ..AugmentConfig::default()
        };
        assert!(says(&config).starts_with("motion_ghosting.every is [0, 4]"));
        let config = AugmentConfig {
            kept: vec![Transform::Rotation],
            ..AugmentConfig::default()
        };
        assert!(says(&config).starts_with("kept is rotation"));
        let config = AugmentConfig {
            reversed: vec![Transform::Gamma],
            ..AugmentConfig::default()
        };
        assert!(says(&config).starts_with("reversed is gamma"));
        assert_eq!(AugmentConfig::default().validate(), Ok(()));
    }
}
