//! [`Location`]: a place on Earth, and how far it is to another; [`Circle`]: all places within so many metres. Pure.
//!
//! Distances are those of the great circle on a sphere of the Earth's mean radius, which is up to 0.6 % off the distance on
//! the ellipsoid. Poles and the date line are places like any other: who searches does so among points of the unit sphere,
//! where the straight line between two points grows with the great circle between them.

use std::{f64::consts::FRAC_PI_2, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The mean radius of the Earth \[m\] (IUGG, R1 of GRS 80).
const EARTH_M: f64 = 6_371_008.8;

/// A place on Earth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees north of the equator, -90 to 90.
    pub latitude: f64,
    /// Degrees east of Greenwich, -180 to 180.
    pub longitude: f64,
}

/// A point of the unit sphere.
pub(crate) type Unit = [f64; 3];

impl Location {
    /// Whether both coordinates are in their ranges.
    pub fn is_on_earth(self) -> bool {
        (-90.0..=90.0).contains(&self.latitude) && (-180.0..=180.0).contains(&self.longitude)
    }

    /// The great-circle distance to another place \[m\], by the haversine formula (R. W. Sinnott, "Virtues of the Haversine",
    /// Sky and Telescope 68, 1984).
    ///
    /// # Examples
    /// ```
    /// use phalanx_actors::agent::Location;
    /// let (paris, london): (Location, Location) = ("48.8566,2.3522".parse()?, "51.5074,-0.1278".parse()?);
    /// assert_eq!((paris.distance_m(london) / 1_000.0).round(), 344.0);
    /// # Ok::<(), phalanx_actors::agent::InvalidLocation>(())
    /// ```
    pub fn distance_m(self, to: Location) -> f64 {
        let [from_lat, to_lat] = [self.latitude, to.latitude].map(f64::to_radians);
        let half = |difference: f64| (difference / 2.0).sin().powi(2);
        let a = half(to_lat - from_lat)
            + from_lat.cos() * to_lat.cos() * half((to.longitude - self.longitude).to_radians());
        2.0 * EARTH_M * a.min(1.0).sqrt().asin()
    }

    /// The point of the unit sphere.
    pub(crate) fn unit(self) -> Unit {
        let (latitude, longitude) = (self.latitude.to_radians(), self.longitude.to_radians());
        [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
    }
}

impl fmt::Display for Location {
    /// As `latitude,longitude` in degrees, which can be parsed again without loss.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.latitude, self.longitude)
    }
}

/// Why a text is no place on Earth.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no place on Earth: write degrees north (-90 to 90), a comma and degrees east (-180 to 180), as in 48.2,16.4"
)]
pub struct InvalidLocation {
    /// The text.
    pub text: String,
}

impl FromStr for Location {
    type Err = InvalidLocation;

    /// Reads `latitude,longitude` in degrees; spaces beside the comma and at the ends do not matter.
    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let parsed = || -> Option<Location> {
            let (latitude, longitude) = text.split_once(',')?;
            let [latitude, longitude] = [latitude, longitude].map(|degrees| degrees.trim().parse().ok());
            Some(Location { latitude: latitude?, longitude: longitude? }).filter(|place| place.is_on_earth())
        };
        parsed().ok_or_else(|| InvalidLocation { text: text.to_owned() })
    }
}

/// The square of the straight line between two points of the unit sphere: four times the haversine of the angle.
pub(crate) fn chord_squared(a: &Unit, b: &Unit) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// The straight line below a great circle of so many metres, of the unit sphere.
pub(crate) fn chord_of(metres: f64) -> f64 {
    2.0 * (metres / EARTH_M / 2.0).min(FRAC_PI_2).sin()
}

/// What distances may be off by \[m\]: two names of one place, such as the longitudes -180 and 180, are as far apart by the
/// arithmetic of 64 bits.
const SLACK_M: f64 = 1e-6;
/// What the coordinates of points of the unit sphere may be off by, with some to spare.
const SLACK: f64 = 1e-14;

/// All places within so many metres of one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CircleForm", into = "CircleForm")]
pub struct Circle {
    centre: Location,
    radius_m: f64,
}

/// Why there is no such circle.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum InvalidCircle {
    /// The centre is nowhere on Earth.
    #[error(
        "{0} is no place on Earth: a centre has a latitude of -90 to 90 and a longitude of -180 to 180 degrees"
    )]
    Centre(Location),
    /// The radius is no distance.
    #[error("a radius of {0} m is no distance: give one of 0 or more")]
    Radius(f64),
}

#[derive(Serialize, Deserialize)]
struct CircleForm {
    latitude: f64,
    longitude: f64,
    radius_m: f64,
}

impl TryFrom<CircleForm> for Circle {
    type Error = InvalidCircle;
    fn try_from(form: CircleForm) -> Result<Self, InvalidCircle> {
        Circle::new(form.latitude, form.longitude, form.radius_m)
    }
}

impl From<Circle> for CircleForm {
    fn from(circle: Circle) -> Self {
        let Location { latitude, longitude } = circle.centre;
        Self { latitude, longitude, radius_m: circle.radius_m }
    }
}

impl Circle {
    /// All places within `radius_m` metres of a place in degrees north and east.
    ///
    /// # Errors
    /// [`InvalidCircle`] when the centre is nowhere on Earth or the radius is negative or no number. One without bound is
    /// the whole Earth.
    pub fn new(latitude: f64, longitude: f64, radius_m: f64) -> Result<Self, InvalidCircle> {
        let centre = Location { latitude, longitude };
        if !centre.is_on_earth() {
            return Err(InvalidCircle::Centre(centre));
        }
        if radius_m.is_nan() || radius_m < 0.0 {
            return Err(InvalidCircle::Radius(radius_m));
        }
        Ok(Self { centre, radius_m })
    }

    /// Its centre.
    pub const fn centre(&self) -> Location {
        self.centre
    }

    /// Its radius \[m\].
    pub const fn radius_m(&self) -> f64 {
        self.radius_m
    }

    /// Whether a place is within it, to a micrometre.
    pub fn holds(&self, place: Location) -> bool {
        place.is_on_earth() && self.centre.distance_m(place) <= self.radius_m + SLACK_M
    }

    /// The square of a straight line on the unit sphere within which all places that it holds are, and few others.
    pub(crate) fn reach(&self) -> f64 {
        (chord_of(self.radius_m + SLACK_M) + SLACK).powi(2)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(latitude: f64, longitude: f64) -> Location {
        Location { latitude, longitude }
    }

    #[test]
    fn the_distance_is_that_of_the_great_circle() {
        // Paris to New York, 5,837 km by the usual tables; a quarter and a half of the globe; across the date line.
        let cases = [
            ((48.8566, 2.3522), (40.7128, -74.0060), 5_837.0),
            ((0.0, 0.0), (0.0, 90.0), 10_007.6),
            ((90.0, 0.0), (-90.0, 0.0), 20_015.1),
            ((10.0, 179.5), (10.0, -179.5), 109.5),
        ];
        for ((a, b), (c, d), km) in cases {
            let found = at(a, b).distance_m(at(c, d)) / 1_000.0;
            assert!((found - km).abs() < 1.0, "{found} km instead of {km}");
        }
        assert!(at(-90.0, 180.0).is_on_earth() && !at(90.1, 0.0).is_on_earth());
        assert!(!at(f64::NAN, 0.0).is_on_earth());
    }

    #[test]
    fn a_circle_of_nothing_holds_its_place_by_whatever_name() {
        for (one, other) in
            [((0.0, 180.0), (0.0, -180.0)), ((90.0, 0.0), (90.0, 120.0)), ((-90.0, -7.0), (-90.0, 7.0))]
        {
            let point = Circle::new(one.0, one.1, 0.0).unwrap();
            assert!(point.holds(at(other.0, other.1)), "{one:?} {other:?}");
            assert!(!point.holds(at(other.0 * 0.9 + 0.1, other.1)));
        }
        assert_eq!(
            Circle::new(91.0, 0.0, 5.0).unwrap_err().to_string(),
            "91,0 is no place on Earth: a centre has a latitude of -90 to 90 and a longitude of -180 to 180 degrees"
        );
        for radius in [-1.0, f64::NAN] {
            assert!(matches!(Circle::new(0.0, 0.0, radius), Err(InvalidCircle::Radius(_))));
        }
        assert!(
            serde_json::from_str::<Circle>(r#"{"latitude": 0, "longitude": 0, "radius_m": -1}"#).is_err()
        );
        let circle = Circle::new(1.0, 2.0, 3.0).unwrap();
        let text = serde_json::to_string(&circle).unwrap();
        assert_eq!(serde_json::from_str::<Circle>(&text).unwrap(), circle);
    }

    #[test]
    fn a_text_is_a_place_only_when_it_names_one() {
        assert_eq!(" 1.5, -2 ".parse(), Ok(at(1.5, -2.0)));
        for text in ["", "north", "1", "1,2,3", "90.1,0", "0,181", "NaN,0", "0,inf"] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
        assert_eq!(
            "hall 3".parse::<Location>().unwrap_err().to_string(),
            "\"hall 3\" is no place on Earth: write degrees north (-90 to 90), a comma and degrees east (-180 to 180), \
             as in 48.2,16.4"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn whatever_a_circle_holds_is_within_its_reach(
            centre in (-90.0..=90.0, -180.0..=180.0), place in (-90.0..=90.0, -180.0..=180.0),
            share in 0.0..1.5_f64,
        ) {
            let (from, to) = (at(centre.0, centre.1), at(place.0, place.1));
            // Also the very distance of the place, where rounding decides.
            let distance = from.distance_m(to);
            for radius in [distance, share * distance, distance - SLACK_M] {
                let circle = Circle::new(centre.0, centre.1, radius.max(0.0)).unwrap();
                if circle.holds(to) {
                    prop_assert!(chord_squared(&from.unit(), &to.unit()) <= circle.reach());
                }
            }
            prop_assert_eq!(to.to_string().parse(), Ok(to));
        }
    }
}
