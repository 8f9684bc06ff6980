//! Where everything in a picture goes: rows from top to bottom, few crossings, short edges.
//!
//! The usual three steps for layered graphs: edges over several rows get a point in each row they
//! pass; rows are reordered by the mean of their neighbours until crossings no longer fall; and
//! each row is placed as near to its neighbours as its own order allows.

#![expect(
    clippy::indexing_slicing,
    reason = "points and rows are numbered here, by the vectors they index"
)]

use super::picture::Picture;

/// Rounds of reordering and of placing; both settle long before.
const ROUNDS: usize = 60;
/// Between neighbours in a row.
const GAP: f64 = 22.0;
/// Room for an edge that passes a row.
const PASSING_WIDTH: f64 = 14.0;
/// How much more a passing edge counts than a package when places are given: bends are ugly.
const PASSING_WEIGHT: f64 = 8.0;

/// How strongly the middle of the picture pulls, against one neighbour.
const CENTRE_PULL: f64 = 0.12;

/// A finished layout.
#[derive(Debug)]
pub(crate) struct Layout {
    /// For each package the middle of its box.
    pub(crate) x: Vec<f64>,
    /// For each package the row over all bands.
    pub(crate) row: Vec<usize>,
    /// For each band its first row and the row after its last.
    pub(crate) bands: Vec<(usize, usize)>,
    /// For each edge of the picture its points: x, row.
    pub(crate) ways: Vec<Vec<(f64, usize)>>,
    /// Left and right end of everything.
    pub(crate) span: (f64, f64),
}

/// A package, or an edge passing a row.
struct Point {
    row: usize,
    width: f64,
    weight: f64,
    x: f64,
}

/// Lays out a picture; `width` is that of a package's box.
pub(crate) fn layout(picture: &Picture<'_>, width: impl Fn(usize) -> f64) -> Layout {
    let bands = bands(picture);
    let mut points: Vec<Point> = picture
        .nodes
        .iter()
        .enumerate()
        .map(|(node, package)| Point {
            row: bands[package.band].0 + package.row,
            width: width(node),
            weight: 1.0,
            x: 0.0,
        })
        .collect();
    let ways = split_edges(picture, &mut points);
    let neighbours = Neighbours::of(&ways, points.len());
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); bands.last().map_or(0, |band| band.1)];
    for (point, at) in points.iter().enumerate() {
        rows[at.row].push(point);
    }
    reorder(&mut rows, &neighbours, points.len());
    place(&rows, &neighbours, &mut points);
    let packages = points.iter().take(picture.nodes.len());
    let left = points
        .iter()
        .map(|point| point.x - point.width / 2.0)
        .fold(0.0, f64::min);
    let right = points
        .iter()
        .map(|point| point.x + point.width / 2.0)
        .fold(0.0, f64::max);
    Layout {
        x: packages.clone().map(|point| point.x).collect(),
        row: packages.map(|point| point.row).collect(),
        bands,
        ways: ways
            .iter()
            .map(|way| {
                way.iter()
                    .map(|&point| (points[point].x, points[point].row))
                    .collect()
            })
            .collect(),
        span: (left, right),
    }
}

fn bands(picture: &Picture<'_>) -> Vec<(usize, usize)> {
    let mut bands = Vec::new();
    let mut first = 0;
    for band in 0..picture.bands.len() {
        let members = picture.nodes.iter().filter(|node| node.band == band);
        let rows = members.map(|node| node.row + 1).max().unwrap_or(0);
        bands.push((first, first + rows));
        first += rows;
    }
    bands
}

/// For each edge its points; new ones in the rows between its ends.
fn split_edges(picture: &Picture<'_>, points: &mut Vec<Point>) -> Vec<Vec<usize>> {
    let mut ways = Vec::new();
    for &(from, to, _) in &picture.edges {
        let mut way = vec![from];
        for row in points[from].row + 1..points[to].row {
            way.push(points.len());
            points.push(Point {
                row,
                width: PASSING_WIDTH,
                weight: PASSING_WEIGHT,
                x: 0.0,
            });
        }
        way.push(to);
        ways.push(way);
    }
    ways
}

/// The points above and below each point.
struct Neighbours {
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
}

impl Neighbours {
    fn of(ways: &[Vec<usize>], points: usize) -> Self {
        let mut all = Self {
            above: vec![Vec::new(); points],
            below: vec![Vec::new(); points],
        };
        for pair in ways.iter().flat_map(|way| way.windows(2)) {
            all.below[pair[0]].push(pair[1]);
            all.above[pair[1]].push(pair[0]);
        }
        all
    }
}

fn reorder(rows: &mut Vec<Vec<usize>>, neighbours: &Neighbours, points: usize) {
    let mut best = rows.clone();
    let mut fewest = usize::MAX;
    for round in 0..ROUNDS {
        let crossings = crossings(rows, neighbours, points);
        if crossings < fewest {
            fewest = crossings;
            best.clone_from(rows);
        }
        let downward = round % 2 == 0;
        for step in 1..rows.len() {
            let (row, beside) = if downward {
                (step, &neighbours.above)
            } else {
                (rows.len() - 1 - step, &neighbours.below)
            };
            let positions = positions(rows, points);
            let mean = |point: &usize| {
                let beside = &beside[*point];
                let own = positions[*point];
                let sum: f64 = beside.iter().map(|&other| positions[other]).sum();
                if beside.is_empty() {
                    own
                } else {
                    sum / number(beside.len())
                }
            };
            rows[row].sort_by(|a, b| mean(a).total_cmp(&mean(b)));
        }
    }
    *rows = best;
}

/// For each point its place in its row, as a share of the row.
fn positions(rows: &[Vec<usize>], points: usize) -> Vec<f64> {
    let mut positions = vec![0.0; points];
    for row in rows {
        for (place, &point) in row.iter().enumerate() {
            positions[point] = (number(place) + 0.5) / number(row.len());
        }
    }
    positions
}

fn crossings(rows: &[Vec<usize>], neighbours: &Neighbours, points: usize) -> usize {
    let positions = positions(rows, points);
    let mut count = 0;
    for row in rows {
        let edges: Vec<(f64, f64)> = row
            .iter()
            .flat_map(|&from| neighbours.below[from].iter().map(move |&to| (from, to)))
            .map(|(from, to)| (positions[from], positions[to]))
            .collect();
        for (number, a) in edges.iter().enumerate() {
            count += edges[number + 1..]
                .iter()
                .filter(|b| (a.0 - b.0) * (a.1 - b.1) < 0.0)
                .count();
        }
    }
    count
}

fn place(rows: &[Vec<usize>], neighbours: &Neighbours, points: &mut [Point]) {
    for row in rows {
        let total: f64 = row.iter().map(|&point| points[point].width + GAP).sum();
        let mut x = -total / 2.0;
        for &point in row {
            points[point].x = x + points[point].width / 2.0;
            x += points[point].width + GAP;
        }
    }
    for round in 0..ROUNDS {
        let downward = round % 2 == 0;
        for step in 0..rows.len() {
            let row = &rows[if downward {
                step
            } else {
                rows.len() - 1 - step
            }];
            let wishes: Vec<f64> = row
                .iter()
                .map(|&point| wish(point, neighbours, points))
                .collect();
            settle(row, wishes, points);
        }
    }
}

/// Where a point would like to be: in the middle of its neighbours, and a little towards the
/// middle of the picture, so that what has no neighbours does not drift away.
fn wish(point: usize, neighbours: &Neighbours, points: &[Point]) -> f64 {
    let beside = || {
        neighbours.above[point]
            .iter()
            .chain(&neighbours.below[point])
    };
    let sum: f64 = beside().map(|&other| points[other].x).sum();
    sum / (number(beside().count()) + CENTRE_PULL / points[point].weight)
}

/// Moves a row as near to its wishes as its order and widths allow: wishes that would overlap are
/// pooled into blocks, and each block takes its mean.
fn settle(row: &[usize], wishes: Vec<f64>, points: &mut [Point]) {
    let mut offsets = Vec::with_capacity(row.len());
    let mut offset = 0.0;
    for (place, &point) in row.iter().enumerate() {
        if place > 0 {
            offset += f64::midpoint(points[row[place - 1]].width, points[point].width) + GAP;
        }
        offsets.push(offset);
    }
    let mut blocks: Vec<Block> = Vec::new();
    for ((wish, offset), &point) in wishes.into_iter().zip(&offsets).zip(row) {
        let mut block = Block {
            x: wish - offset,
            weight: points[point].weight,
            size: 1,
        };
        while let Some(last) = blocks.pop_if(|last| last.x > block.x) {
            block = last.join(block);
        }
        blocks.push(block);
    }
    let bases = blocks
        .into_iter()
        .flat_map(|block| std::iter::repeat_n(block.x, block.size));
    for ((&point, base), offset) in row.iter().zip(bases).zip(offsets) {
        points[point].x = base + offset;
    }
}

/// Neighbours in a row that would overlap if each got its wish.
#[derive(Clone, Copy)]
struct Block {
    x: f64,
    weight: f64,
    size: usize,
}

impl Block {
    fn join(self, right: Self) -> Self {
        let weight = self.weight + right.weight;
        let x = (self.x * self.weight + right.x * right.weight) / weight;
        Self {
            x,
            weight,
            size: self.size + right.size,
        }
    }
}

/// A count as a coordinate.
pub(crate) fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
