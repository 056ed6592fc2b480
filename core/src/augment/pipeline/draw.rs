//! Drawing a sample's parameters.

use super::super::config::Transform;
use super::super::draws::{Change, ChannelChange, Draws, ElasticDraw};
use super::super::random::Random;
use super::super::{
    AdditiveNoise, BiasField, Blur, Gamma, GibbsRinging, LowResolution, Mirror, MotionGhosting,
    MultiplicativeNoise,
};
use super::Pipeline;

/// Where the draws of one sample come from: a stream for each transform and channel.
struct Streams {
    seed: u64,
    channels: usize,
}

impl Streams {
    fn channel(&self, transform: Transform, channel: usize) -> Random {
        Random::new(self.seed, (transform as u64) << 32 | channel as u64)
    }

    /// The stream that all channels share.
    fn shared(&self, transform: Transform) -> Random {
        self.channel(transform, u32::MAX as usize)
    }

    /// The changes of those channels for which `make` gives one.
    fn each(
        &self,
        transform: Transform,
        mut make: impl FnMut(&mut Random) -> Option<Change>,
    ) -> Vec<(Option<usize>, Change)> {
        (0..self.channels)
            .filter_map(|c| Some((Some(c), make(&mut self.channel(transform, c))?)))
            .collect()
    }
}

impl Pipeline {
    /// What [`Pipeline::apply`] draws for a sample.
    pub fn draw(&self, patch: [usize; 3], channels: usize, seed: u64) -> Draws {
        let streams = Streams { seed, channels };
        let mut draws = self.draw_spatial(&streams);
        let mut add = |transform: Transform, changes: Vec<(Option<usize>, Change)>| {
            let effect = self.config.effect(transform);
            let changes = changes.into_iter().map(|(channel, change)| ChannelChange {
                channel,
                change,
                effect,
            });
            draws.changes.extend(changes);
        };
        if let Some(c) = &self.additive_noise {
            let make = |r: &mut Random| {
                let on = r.happens(c.p);
                on.then(|| Change::AdditiveNoise(AdditiveNoise::draw(c, r)))
            };
            add(
                Transform::AdditiveNoise,
                streams.each(Transform::AdditiveNoise, make),
            );
        }
        if let Some(c) = &self.blur {
            let mut shared = streams.shared(Transform::Blur);
            if shared.happens(c.p) {
                let blur = Blur::draw(c, &mut shared);
                let make = |r: &mut Random| r.happens(c.p_channel).then_some(Change::Blur(blur));
                add(Transform::Blur, streams.each(Transform::Blur, make));
            }
        }
        if let Some(c) = &self.multiplicative_noise {
            let make = |r: &mut Random| {
                let on = r.happens(c.p);
                on.then(|| Change::MultiplicativeNoise(MultiplicativeNoise::draw(c, r)))
            };
            add(
                Transform::MultiplicativeNoise,
                streams.each(Transform::MultiplicativeNoise, make),
            );
        }
        let quirks = self.config.reference_quirks;
        if let Some(c) = &self.motion_ghosting {
            let make = |r: &mut Random| {
                let on = r.happens(c.p);
                on.then(|| Change::MotionGhosting(MotionGhosting::draw(c, quirks, r)))
            };
            add(
                Transform::MotionGhosting,
                streams.each(Transform::MotionGhosting, make),
            );
        }
        if let Some(c) = &self.gibbs_ringing {
            let make = |r: &mut Random| {
                let on = r.happens(c.p);
                on.then(|| Change::GibbsRinging(GibbsRinging::draw(c, patch, r)))
            };
            add(
                Transform::GibbsRinging,
                streams.each(Transform::GibbsRinging, make),
            );
        }
        if let Some(c) = &self.low_resolution
            && streams.shared(Transform::LowResolution).happens(c.p)
        {
            let make = |r: &mut Random| {
                let on = r.happens(c.p_channel);
                on.then(|| Change::LowResolution(LowResolution::draw(c, patch, r)))
            };
            add(
                Transform::LowResolution,
                streams.each(Transform::LowResolution, make),
            );
        }
        if let Some(c) = &self.bias_field {
            let make = |r: &mut Random| {
                let on = r.happens(c.p);
                on.then(|| Change::BiasField(BiasField::draw(patch, r)))
            };
            add(
                Transform::BiasField,
                streams.each(Transform::BiasField, make),
            );
        }
        if let Some(c) = &self.gamma {
            let mut shared = streams.shared(Transform::Gamma);
            if shared.happens(c.p) {
                let invert = shared.happens(c.p_invert);
                let curve = |r: &mut Random| Change::Gamma(Gamma::draw(c, invert, quirks, r));
                let changes = if quirks {
                    vec![(None, curve(&mut shared))]
                } else {
                    streams.each(Transform::Gamma, |r| Some(curve(r)))
                };
                add(Transform::Gamma, changes);
            }
        }
        draws
    }

    fn draw_spatial(&self, streams: &Streams) -> Draws {
        let mut draws = Draws::default();
        if let Some(c) = &self.elastic {
            let mut r = streams.shared(Transform::Elastic);
            draws.elastic = r.happens(c.p).then(|| ElasticDraw {
                sigma: r.between(c.sigma),
                alpha: r.between(c.alpha),
                seed: r.seed(),
            });
        }
        if let Some(c) = &self.rotation {
            let mut r = streams.shared(Transform::Rotation);
            if r.happens(c.p) {
                let drawn = [c.x, c.y, c.z].map(|range| (r.happens(c.p_axis), r.between(range)));
                let angles = drawn.map(|(on, degrees)| if on { degrees.to_radians() } else { 0. });
                draws.rotation = (angles != [0.0; 3]).then_some(angles);
            }
        }
        if let Some(c) = &self.scale {
            let mut r = streams.shared(Transform::Scale);
            draws.scale = r.happens(c.p).then(|| r.between(c.factor));
        }
        if let Some(c) = &self.mirror {
            let mirror = Mirror::draw(c, &mut streams.shared(Transform::Mirror));
            draws.mirror = mirror.axes.contains(&true).then_some(mirror);
        }
        draws
    }
}
