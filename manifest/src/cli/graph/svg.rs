//! The finished picture. Everything it needs is in it: no fonts, no scripts, no other files.

use std::fmt::Write;

use manifest::Edge;

use super::layout::{Layout, layout, number};
use super::picture::{Kind, Picture};

const BOX_HEIGHT: f64 = 30.0;
const ROW_HEIGHT: f64 = 78.0;
/// Above and below the rows of a band, for its title.
const BAND_PADDING: f64 = 34.0;
const BAND_GAP: f64 = 16.0;
const MARGIN: f64 = 28.0;
const TITLE_WIDTH: f64 = 130.0;
const LEGEND_HEIGHT: f64 = 46.0;

/// Fill and line of the bands: the lowest tier has the first, the foundation the last.
const COLOURS: [(&str, &str); 6] = [
    ("#eaf7f0", "#3a8a62"),
    ("#eaf2fb", "#3d74b0"),
    ("#f3effb", "#7a5bb0"),
    ("#fbf3e6", "#a87729"),
    ("#fbecec", "#b05555"),
    ("#f1f2f4", "#6b7280"),
];

const STYLE: &str = "\
text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2933; }
.title { font-size: 17px; font-weight: 600; }
.count, .legend { font-size: 12px; fill: #5b6672; }
.box { fill: #ffffff; stroke-width: 1; }
.leaf { stroke-width: 2.2; }
.console { stroke-dasharray: 4 3; }
.edge { fill: none; stroke: #9aa5b1; stroke-width: 1.2; }
.to-console { stroke-dasharray: 4 3; stroke: #b8c0c9; }
";

/// Draws the picture.
pub(crate) fn draw(picture: &Picture<'_>) -> String {
    let plan = layout(picture, |node| {
        picture
            .nodes
            .get(node)
            .map_or(0.0, |node| width(node.name.base()))
    });
    let left = plan.span.0 - MARGIN - TITLE_WIDTH;
    let right = plan.span.1 + MARGIN;
    let bands = band_edges(&plan);
    let bottom = bands.last().map_or(0.0, |(_, bottom)| *bottom);
    let (whole_width, whole_height) = (
        right - left + 2.0 * MARGIN,
        bottom + 2.0 * MARGIN + LEGEND_HEIGHT,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole_width:.0}\" height=\"{whole_height:.0}\" \
         viewBox=\"{:.1} {:.1} {whole_width:.1} {whole_height:.1}\" role=\"img\">\n\
         <title>Packages by tier, and what brings them</title>\n<style>\n{STYLE}</style>\n\
         <rect x=\"{:.1}\" y=\"{:.1}\" width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        left - MARGIN,
        -MARGIN,
        left - MARGIN,
        -MARGIN,
    );
    for (band, (name, (top, bottom))) in picture.bands.iter().zip(&bands).enumerate() {
        let members = picture
            .nodes
            .iter()
            .filter(|node| node.band == band)
            .count();
        let (fill, line) = colours(band, picture.bands.len());
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"12\" fill=\"{fill}\"/>\n\
             <text class=\"title\" x=\"{:.1}\" y=\"{:.1}\" style=\"fill: {line}\">{name}</text>\n\
             <text class=\"count\" x=\"{:.1}\" y=\"{:.1}\">{members} packages</text>",
            right - left,
            bottom - top,
            left + 18.0,
            top + 30.0,
            left + 18.0,
            top + 50.0,
        );
    }
    let y = |row: usize| row_middle(row, &plan, &bands);
    for (way, (_, _, edge)) in plan.ways.iter().zip(&picture.edges) {
        svg.push_str(&edge_path(way, *edge, &y));
    }
    for (node, (x, row)) in picture.nodes.iter().zip(plan.x.iter().zip(&plan.row)) {
        let (_, line) = colours(node.band, picture.bands.len());
        let (class, radius) = match node.kind {
            Kind::Leaf => ("box leaf", 6.0),
            Kind::Required => ("box", 6.0),
            Kind::Console => ("box console", BOX_HEIGHT / 2.0),
        };
        let (width, middle) = (width(node.name.base()), y(*row));
        let _ = writeln!(
            svg,
            "<g><title>{}</title><rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" \
             height=\"{BOX_HEIGHT}\" rx=\"{radius}\" stroke=\"{line}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text></g>",
            node.name,
            x - width / 2.0,
            middle - BOX_HEIGHT / 2.0,
            middle + 4.5,
            node.name.base(),
        );
    }
    svg.push_str(&legend(left, bottom + MARGIN + 6.0));
    svg.push_str("</svg>\n");
    svg
}

/// Wide enough for a name in any usual font.
fn width(name: &str) -> f64 {
    number(name.len()) * 7.6 + 24.0
}

/// The colours of a band, counted from the top; a tier keeps its own when others are not drawn.
fn colours(band: usize, bands: usize) -> (&'static str, &'static str) {
    let last = COLOURS.len() - 1;
    let from_foundation = bands.saturating_sub(band + 1);
    let at = from_foundation
        .checked_sub(1)
        .map_or(last, |rank| rank % last);
    COLOURS.get(at).copied().unwrap_or(("#ffffff", "#000000"))
}

/// For each band its upper and lower edge.
fn band_edges(plan: &Layout) -> Vec<(f64, f64)> {
    let mut top = 0.0;
    let mut edges = Vec::new();
    for (first, end) in &plan.bands {
        let height = number((end - first).max(1)) * ROW_HEIGHT + BAND_PADDING
            - (ROW_HEIGHT - BOX_HEIGHT) / 2.0;
        edges.push((top, top + height));
        top += height + BAND_GAP;
    }
    edges
}

fn row_middle(row: usize, plan: &Layout, bands: &[(f64, f64)]) -> f64 {
    let band = plan
        .bands
        .iter()
        .zip(bands)
        .find(|((first, end), _)| (*first..*end).contains(&row));
    band.map_or(0.0, |((first, _), (top, _))| {
        top + BAND_PADDING / 2.0 + number(row - first) * ROW_HEIGHT + BOX_HEIGHT / 2.0 + 8.0
    })
}

/// A line that leaves and arrives vertically, and passes its rows smoothly.
fn edge_path(way: &[(f64, usize)], edge: Edge, y: &impl Fn(usize) -> f64) -> String {
    let class = if edge == Edge::Console {
        "edge to-console"
    } else {
        "edge"
    };
    let mut path = String::new();
    let mut before: Option<(f64, f64)> = None;
    for (number, &(x, row)) in way.iter().enumerate() {
        let middle = y(row);
        match before {
            None => {
                let start = middle + BOX_HEIGHT / 2.0;
                let _ = write!(path, "M{x:.1},{start:.1}");
                before = Some((x, start));
            }
            Some((from_x, from_y)) => {
                let last = number + 1 == way.len();
                let to_y = if last {
                    middle - BOX_HEIGHT / 2.0
                } else {
                    middle
                };
                let half = f64::midpoint(from_y, to_y);
                let _ = write!(
                    path,
                    " C{from_x:.1},{half:.1} {x:.1},{half:.1} {x:.1},{to_y:.1}"
                );
                before = Some((x, to_y));
            }
        }
    }
    format!("<path class=\"{class}\" d=\"{path}\"/>\n")
}

fn legend(left: f64, top: f64) -> String {
    let entries = [
        ("box leaf", 6.0, "named by a tier"),
        ("box", 6.0, "brought by what requires it"),
        ("box console", 9.0, "console package"),
    ];
    let mut text = String::new();
    let mut x = left + 18.0;
    for (class, radius, words) in entries {
        let _ = writeln!(
            text,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"34\" height=\"18\" rx=\"{radius}\" \
             stroke=\"#6b7280\"/><text class=\"legend\" x=\"{:.1}\" y=\"{:.1}\">{words}</text>",
            x + 44.0,
            top + 13.5,
        );
        x += 60.0 + number(words.len()) * 7.0;
    }
    let _ = writeln!(
        text,
        "<text class=\"legend\" x=\"{x:.1}\" y=\"{:.1}\">lines run down to what is brought; \
         left out: those that others imply, and into the foundation</text>",
        top + 13.5
    );
    text
}
