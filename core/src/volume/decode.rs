//! Stored voxels to numbers: byte order, type and scaling, in loops that compilers vectorise.

use super::datatype::{DataType, Scaling};
use crate::label::Label;

/// A type that voxels can be read as: `f32`, `f64`, or [`Label`], which takes whole numbers in
/// its range only.
///
/// Scaled values are computed in double precision and rounded once, as nibabel does.
pub trait Sample: private::Decode {}

impl Sample for f32 {}
impl Sample for f64 {}
impl Sample for Label {}

/// Position and value of the first voxel that a type cannot hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadValue {
    /// Index in the decoded run.
    pub index: usize,
    /// The value, scaled.
    pub value: f64,
}

/// How a run of voxels is stored.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    pub(super) datatype: DataType,
    pub(super) big_endian: bool,
    pub(super) scaling: Scaling,
}

pub(super) mod private {
    use super::{BadValue, DataType, Encoding};

    /// The part of [`super::Sample`] that callers need not know.
    pub trait Decode: bytemuck::Pod + Default {
        /// The stored type with the same bits.
        const SAME: DataType;

        /// Decodes `bytes` into `out`: as many values as both hold.
        fn decode(bytes: &[u8], encoding: Encoding, out: &mut [Self]) -> Result<(), BadValue>;

        /// Decodes `bytes` to the end of `out`. Types that cannot fail extend it without filling
        /// it first.
        fn append(bytes: &[u8], encoding: Encoding, out: &mut Vec<Self>) -> Result<(), BadValue> {
            let done = out.len();
            out.resize(
                done + bytes.len() / encoding.datatype.size(),
                Self::default(),
            );
            Self::decode(bytes, encoding, &mut out[done..])
        }
    }
}

/// A stored number.
trait Stored: Copy {
    fn to_f32(self) -> f32;
    fn to_f64(self) -> f64;
    /// The label, and whether it is the same number.
    fn to_label(self) -> (Label, bool);
}

macro_rules! stored {
    ($($t:ty)*) => {$(
        impl Stored for $t {
            fn to_f32(self) -> f32 {
                self as f32
            }
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn to_label(self) -> (Label, bool) {
                // Wraps (integers) or saturates (floats), then compares as the stored type, which
                // holds every label unless it is so narrow that all its values fit.
                let label = self as Label;
                (label, label as $t == self)
            }
        }
    )*};
}
stored!(u16 u32 i32 u64 i64 f32 f64);

macro_rules! stored_narrow {
    ($($t:ty)*) => {$(
        impl Stored for $t {
            fn to_f32(self) -> f32 {
                self.into()
            }
            fn to_f64(self) -> f64 {
                self.into()
            }
            fn to_label(self) -> (Label, bool) {
                #[allow(unused_comparisons, reason = "shared with unsigned types")]
                (self as Label, self >= 0)
            }
        }
    )*};
}
stored_narrow!(u8 i8 i16);

/// What is done to every number of a run.
trait Run {
    type Output;
    fn run<T: Stored, const N: usize>(
        self,
        values: &[[u8; N]],
        load: impl Fn([u8; N]) -> T,
    ) -> Self::Output;
}

/// Calls `run` with the loader of the stored type.
fn dispatch<R: Run>(bytes: &[u8], datatype: DataType, big_endian: bool, run: R) -> R::Output {
    macro_rules! with {
        ($t:ty) => {{
            let (values, _) = bytes.as_chunks();
            if big_endian {
                run.run(values, <$t>::from_be_bytes)
            } else {
                run.run(values, <$t>::from_le_bytes)
            }
        }};
    }
    match datatype {
        DataType::U8 => with!(u8),
        DataType::I8 => with!(i8),
        DataType::U16 => with!(u16),
        DataType::I16 => with!(i16),
        DataType::U32 => with!(u32),
        DataType::I32 => with!(i32),
        DataType::U64 => with!(u64),
        DataType::I64 => with!(i64),
        DataType::F32 => with!(f32),
        DataType::F64 => with!(f64),
    }
}

struct ToF32<'a>(&'a mut [f32], Scaling);

impl Run for ToF32<'_> {
    type Output = ();
    fn run<T: Stored, const N: usize>(self, values: &[[u8; N]], load: impl Fn([u8; N]) -> T) {
        let pairs = self.0.iter_mut().zip(values);
        if self.1.is_none() {
            pairs.for_each(|(to, v)| *to = load(*v).to_f32());
        } else {
            let Scaling { slope, intercept } = self.1;
            pairs.for_each(|(to, v)| *to = (load(*v).to_f64() * slope + intercept) as f32);
        }
    }
}

struct AppendF32<'a>(&'a mut Vec<f32>, Scaling);

impl Run for AppendF32<'_> {
    type Output = ();
    fn run<T: Stored, const N: usize>(self, values: &[[u8; N]], load: impl Fn([u8; N]) -> T) {
        if self.1.is_none() {
            self.0.extend(values.iter().map(|v| load(*v).to_f32()));
        } else {
            let Scaling { slope, intercept } = self.1;
            self.0.extend(
                values
                    .iter()
                    .map(|v| (load(*v).to_f64() * slope + intercept) as f32),
            );
        }
    }
}

struct ToF64<'a>(&'a mut [f64], Scaling);

impl Run for ToF64<'_> {
    type Output = ();
    fn run<T: Stored, const N: usize>(self, values: &[[u8; N]], load: impl Fn([u8; N]) -> T) {
        let pairs = self.0.iter_mut().zip(values);
        if self.1.is_none() {
            pairs.for_each(|(to, v)| *to = load(*v).to_f64());
        } else {
            let Scaling { slope, intercept } = self.1;
            pairs.for_each(|(to, v)| *to = load(*v).to_f64() * slope + intercept);
        }
    }
}

struct ToLabel<'a>(&'a mut [Label], Scaling);

impl Run for ToLabel<'_> {
    type Output = Result<(), BadValue>;
    fn run<T: Stored, const N: usize>(
        self,
        values: &[[u8; N]],
        load: impl Fn([u8; N]) -> T,
    ) -> Result<(), BadValue> {
        let Scaling { slope, intercept } = self.1;
        let plain = self.1.is_none();
        let label = |v: [u8; N]| {
            if plain {
                load(v).to_label()
            } else {
                (load(v).to_f64() * slope + intercept).to_label()
            }
        };
        let mut good = true;
        for (to, v) in self.0.iter_mut().zip(values) {
            let (l, same) = label(*v);
            *to = l;
            good &= same;
        }
        if good {
            return Ok(());
        }
        let first = values.iter().position(|v| !label(*v).1).unwrap_or(0);
        Err(BadValue {
            index: first,
            value: load(values[first]).to_f64() * slope + intercept,
        })
    }
}

impl private::Decode for f32 {
    const SAME: DataType = DataType::F32;

    fn decode(bytes: &[u8], e: Encoding, out: &mut [f32]) -> Result<(), BadValue> {
        dispatch(bytes, e.datatype, e.big_endian, ToF32(out, e.scaling));
        Ok(())
    }

    fn append(bytes: &[u8], e: Encoding, out: &mut Vec<f32>) -> Result<(), BadValue> {
        dispatch(bytes, e.datatype, e.big_endian, AppendF32(out, e.scaling));
        Ok(())
    }
}

impl private::Decode for f64 {
    const SAME: DataType = DataType::F64;

    fn decode(bytes: &[u8], e: Encoding, out: &mut [f64]) -> Result<(), BadValue> {
        dispatch(bytes, e.datatype, e.big_endian, ToF64(out, e.scaling));
        Ok(())
    }
}

impl private::Decode for Label {
    const SAME: DataType = DataType::U16;

    fn decode(bytes: &[u8], e: Encoding, out: &mut [Label]) -> Result<(), BadValue> {
        dispatch(bytes, e.datatype, e.big_endian, ToLabel(out, e.scaling))
    }
}

#[cfg(test)]
mod tests {
    use super::private::Decode;
    use super::*;

    const NONE: Scaling = Scaling::NONE;

    /// Encodes numbers as a type, in either byte order.
    macro_rules! bytes {
        ($t:ty, $values:expr, $big:expr) => {
            $values
                .iter()
                .flat_map(|v| {
                    if $big {
                        (*v as $t).to_be_bytes()
                    } else {
                        (*v as $t).to_le_bytes()
                    }
                })
                .collect::<Vec<u8>>()
        };
    }

    /// Decodes into a slice and to the end of a vector, which must agree.
    fn decoded<T: Decode>(
        bytes: &[u8],
        datatype: DataType,
        big_endian: bool,
        scaling: Scaling,
    ) -> Result<Vec<T>, BadValue> {
        let encoding = Encoding {
            datatype,
            big_endian,
            scaling,
        };
        let mut out = vec![T::default(); bytes.len() / datatype.size()];
        let result = T::decode(bytes, encoding, &mut out);
        let mut appended = vec![T::default()];
        let again = T::append(bytes, encoding, &mut appended);
        assert_eq!(again.map_err(|e| e.index), result.map_err(|e| e.index));
        result?;
        assert_eq!(
            bytemuck::cast_slice::<T, u8>(&appended[1..]),
            bytemuck::cast_slice::<T, u8>(&out)
        );
        Ok(out)
    }

    #[test]
    fn every_type_and_byte_order() -> Result<(), BadValue> {
        macro_rules! check {
            ($t:ty, $d:expr, $values:expr) => {
                for big in [false, true] {
                    let raw = bytes!($t, $values, big);
                    let expected: Vec<f64> = $values.iter().map(|v| *v as f64).collect();
                    assert_eq!(decoded::<f64>(&raw, $d, big, NONE)?, expected);
                    let single: Vec<f32> = $values.iter().map(|v| *v as $t as f32).collect();
                    assert_eq!(decoded::<f32>(&raw, $d, big, NONE)?, single);
                }
            };
        }
        check!(u8, DataType::U8, [0i64, 1, 200, 255]);
        check!(i8, DataType::I8, [0i64, 1, -128, 127]);
        check!(u16, DataType::U16, [0i64, 258, 65535]);
        check!(i16, DataType::I16, [0i64, 258, -32768, 32767]);
        check!(u32, DataType::U32, [0i64, 66051, 4294967295]);
        check!(i32, DataType::I32, [0i64, 66051, -2147483648]);
        check!(u64, DataType::U64, [0i64, 1 << 40, 9007199254740992]);
        check!(i64, DataType::I64, [0i64, 1 << 40, -9007199254740992]);
        check!(f32, DataType::F32, [0.0f64, -1.5, 1e10]);
        check!(f64, DataType::F64, [0.0f64, -1.5, 1e-300]);
        Ok(())
    }

    #[test]
    fn scaling_rounds_once() -> Result<(), BadValue> {
        let slope = 0.1f32;
        let scaling = Scaling {
            slope: slope.into(),
            intercept: 1e6,
        };
        let raw = bytes!(i16, [12345i64, -7], true);
        let expected = [12345.0, -7.0].map(|v: f64| v * f64::from(slope) + 1e6);
        assert_eq!(
            decoded::<f64>(&raw, DataType::I16, true, scaling)?,
            expected
        );
        let single = expected.map(|v| v as f32);
        assert_eq!(decoded::<f32>(&raw, DataType::I16, true, scaling)?, single);
        Ok(())
    }

    #[test]
    fn not_finite_values_are_kept() -> Result<(), BadValue> {
        let raw = bytes!(f32, [f32::NAN, f32::INFINITY, f32::NEG_INFINITY], false);
        let out = decoded::<f32>(&raw, DataType::F32, false, NONE)?;
        assert!(out[0].is_nan());
        assert_eq!(out[1..], [f32::INFINITY, f32::NEG_INFINITY]);
        Ok(())
    }

    #[test]
    fn labels_are_exact_or_refused() {
        let ok = |raw: &[u8], d| decoded::<Label>(raw, d, false, NONE);
        assert_eq!(
            ok(&bytes!(f32, [0.0, -0.0, 65535.0], false), DataType::F32),
            Ok(vec![0, 0, 65535])
        );
        assert_eq!(
            ok(&bytes!(u64, [3i64, 65535], false), DataType::U64),
            Ok(vec![3, 65535])
        );
        assert_eq!(
            ok(&bytes!(i8, [127i64], false), DataType::I8),
            Ok(vec![127])
        );
        let bad = |raw: &[u8], d, index, value| {
            assert_eq!(ok(raw, d), Err(BadValue { index, value }));
        };
        bad(&bytes!(f64, [1.0, 2.5], false), DataType::F64, 1, 2.5);
        bad(&bytes!(f32, [-1.0], false), DataType::F32, 0, -1.0);
        bad(&bytes!(i8, [1i64, -1], false), DataType::I8, 1, -1.0);
        bad(&bytes!(i16, [-300i64], false), DataType::I16, 0, -300.0);
        bad(
            &bytes!(i32, [5i64, 65536], false),
            DataType::I32,
            1,
            65536.0,
        );
        bad(
            &bytes!(u32, [65536i64 * 4], false),
            DataType::U32,
            0,
            262144.0,
        );
        bad(
            &bytes!(i64, [1i64 << 40], false),
            DataType::I64,
            0,
            (1u64 << 40) as f64,
        );
        assert!(ok(&bytes!(f32, [f32::NAN], false), DataType::F32).is_err());
        assert!(ok(&bytes!(f64, [f64::INFINITY], false), DataType::F64).is_err());
        let half = Scaling {
            slope: 0.5,
            intercept: 1.0,
        };
        let raw = bytes!(u8, [4i64, 0, 3], false);
        assert_eq!(
            decoded::<Label>(&raw[..2], DataType::U8, false, half),
            Ok(vec![3, 1])
        );
        assert_eq!(
            decoded::<Label>(&raw, DataType::U8, false, half),
            Err(BadValue {
                index: 2,
                value: 2.5
            })
        );
    }
}
