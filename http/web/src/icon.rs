//! The icons of a platform's app: two bubbles of speech that overlap, on the platform's colour. One picture is described
//! here in numbers, and drawn as SVG and as PNG.

use std::{collections::HashMap, io::Cursor};

use bytes::Bytes;
use image::{ImageFormat, Rgba, RgbaImage};
use linkspan_platforms::Colour;
use parking_lot::Mutex;

/// An icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Icon {
    Svg,
    Small,
    Large,
    /// An icon without corners of its own: systems cut it to their shape, and keep a circle of 80 per cent of its width.
    Maskable,
}

impl Icon {
    pub(crate) const ALL: [Self; 4] = [Self::Svg, Self::Small, Self::Large, Self::Maskable];

    /// The icon at a path.
    pub(crate) fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|icon| icon.path() == path)
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Svg => "/icon.svg",
            Self::Small => "/icon-192.png",
            Self::Large => "/icon-512.png",
            Self::Maskable => "/icon-maskable.png",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        if self == Self::Svg { "image/svg+xml" } else { "image/png" }
    }

    /// The length of a side in pixels, of those that have one.
    pub(crate) fn side(self) -> Option<u32> {
        match self {
            Self::Svg => None,
            Self::Small => Some(192),
            Self::Large | Self::Maskable => Some(512),
        }
    }

    fn draw(self, colour: Colour) -> Bytes {
        match self.side() {
            None => svg(colour).into(),
            Some(side) => png(colour, side, self == Self::Maskable).into(),
        }
    }
}

/// The icons that were asked for. There are at most as many as platforms have colours.
#[derive(Default)]
pub(crate) struct Icons(Mutex<HashMap<(Colour, Icon), Bytes>>);

impl Icons {
    pub(crate) fn get(&self, colour: Colour, icon: Icon) -> Bytes {
        self.0.lock().entry((colour, icon)).or_insert_with(|| icon.draw(colour)).clone()
    }
}

/// A rectangle with round corners. All lengths are parts of the icon's side.
struct Rounded {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
    radius: f32,
}

/// The whole icon.
const GROUND: Rounded = Rounded { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0, radius: 0.22 };
/// The bubble behind, and how much of it shows.
const BEHIND: Rounded = Rounded { left: 0.36, top: 0.21, right: 0.82, bottom: 0.56, radius: 0.12 };
const BEHIND_SHOWS: f32 = 0.55;
/// The bubble in front, with the corners of its tail.
const FRONT: Rounded = Rounded { left: 0.18, top: 0.36, right: 0.68, bottom: 0.72, radius: 0.12 };
const TAIL: [(f32, f32); 3] = [(0.28, 0.64), (0.28, 0.83), (0.45, 0.7)];
/// How wide the gap is that the bubble in front has around it.
const GAP: f32 = 0.04;
/// How large the bubbles are on an icon that is cut.
const MASKABLE_SCALE: f32 = 0.9;

fn svg(colour: Colour) -> String {
    let text = colour.text();
    let rect = |it: &Rounded, more: &str| {
        let (width, height) = (it.right - it.left, it.bottom - it.top);
        format!(
            r#"<rect x="{}" y="{}" width="{width:.3}" height="{height:.3}" rx="{}" {more}/>"#,
            it.left, it.top, it.radius
        )
    };
    let [a, b, c] = TAIL.map(|(x, y)| format!("{x} {y}"));
    let front = |more: &str| format!(r#"<g {more}>{}<path d="M{a}L{b}L{c}z"/></g>"#, rect(&FRONT, ""));
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1">{}{}{}{}</svg>"#,
        rect(&GROUND, &format!(r#"fill="{colour}""#)),
        rect(&BEHIND, &format!(r#"fill="{text}" fill-opacity="{BEHIND_SHOWS}""#)),
        front(&format!(
            r#"fill="{colour}" stroke="{colour}" stroke-width="{}" stroke-linejoin="round""#,
            GAP * 2.0
        )),
        front(&format!(r#"fill="{text}""#)),
    )
}

fn png(colour: Colour, side: u32, is_maskable: bool) -> Vec<u8> {
    let picture = RgbaImage::from_fn(side, side, |x, y| {
        let at = |pixel: u32| (pixel as f32 + 0.5) / side as f32;
        pixel(colour, (at(x), at(y)), 1.0 / side as f32, is_maskable)
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).expect("memory takes every picture");
    bytes.into_inner()
}

/// The colour of one pixel of this width. What covers it in part is mixed in.
fn pixel(colour: Colour, at: (f32, f32), width: f32, is_maskable: bool) -> Rgba<u8> {
    let covers = |distance: f32| (0.5 - distance / width).clamp(0.0, 1.0);
    let scale = if is_maskable { MASKABLE_SCALE } else { 1.0 };
    let inner = ((at.0 - 0.5) / scale + 0.5, (at.1 - 0.5) / scale + 0.5);
    let front = FRONT.distance(inner).min(distance_to_triangle(TAIL, inner)) * scale;
    let behind = covers(BEHIND.distance(inner) * scale) * BEHIND_SHOWS * (1.0 - covers(front - GAP * scale));
    let text = behind.max(covers(front));
    let mixed = |part: usize| {
        let (ground, text_part) = (f32::from(colour.0[part]), f32::from(colour.text().0[part]));
        (ground + (text_part - ground) * text).round() as u8
    };
    let shows = if is_maskable { 1.0 } else { covers(GROUND.distance(at)) };
    Rgba([mixed(0), mixed(1), mixed(2), (shows * 255.0).round() as u8])
}

impl Rounded {
    /// How far a point is outside; less than 0 for one that is inside.
    fn distance(&self, (x, y): (f32, f32)) -> f32 {
        let beyond = |at: f32, from: f32, to: f32| {
            (at - f32::midpoint(from, to)).abs() - (to - from) / 2.0 + self.radius
        };
        let (x, y) = (beyond(x, self.left, self.right), beyond(y, self.top, self.bottom));
        x.max(0.0).hypot(y.max(0.0)) + x.max(y).min(0.0) - self.radius
    }
}

/// How far a point is outside of a triangle; less than 0 for one that is inside.
fn distance_to_triangle(corners: [(f32, f32); 3], at: (f32, f32)) -> f32 {
    let [a, b, c] = corners;
    let sides = [(a, b), (b, c), (c, a)];
    let nearest = sides.map(|(from, to)| distance_to_line(from, to, at)).into_iter().fold(f32::MAX, f32::min);
    let turns =
        sides.map(|(from, to)| (to.0 - from.0) * (at.1 - from.1) - (to.1 - from.1) * (at.0 - from.0) > 0.0);
    if turns.iter().all(|turn| *turn == turns[0]) { -nearest } else { nearest }
}

fn distance_to_line(from: (f32, f32), to: (f32, f32), at: (f32, f32)) -> f32 {
    let (along, off) = ((to.0 - from.0, to.1 - from.1), (at.0 - from.0, at.1 - from.1));
    let part = (off.0 * along.0 + off.1 * along.1) / (along.0 * along.0 + along.1 * along.1);
    let part = part.clamp(0.0, 1.0);
    (off.0 - along.0 * part).hypot(off.1 - along.1 * part)
}
