//! How throughput grows, or does not: over clients, and over the size of the table. Drawn as a picture (SVG).

use std::{fmt::Write as _, path::Path};

use crate::{
    case::{Case, POINT_ROWS, Work},
    skyline::{self, Daemon},
};

/// A line of the picture.
struct Line {
    name: &'static str,
    color: &'static str,
    points: Vec<(f64, f64)>,
}

/// A part of the picture, with a logarithmic x.
struct Chart {
    title: &'static str,
    x: &'static str,
    lines: Vec<Line>,
}

const CLIENTS: [usize; 6] = [1, 4, 16, 64, 256, 1_000];
const ROWS: [i64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];

// The picture's measures, in pixels.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 260.0;
const MARGIN: f64 = 60.0;

/// Measures and draws.
#[allow(clippy::cast_precision_loss, reason = "far below 2⁵³")]
pub(crate) fn measure(daemon: &Daemon, seconds: u64, rounds: usize, picture: &Path) -> anyhow::Result<()> {
    let throughput = |work, clients, rows| -> anyhow::Result<f64> {
        let case = Case { name: "growth", work, clients, pipeline: 1, mode: "session" };
        let mut all = Vec::new();
        for _ in 0..rounds {
            all.push(skyline::bench_with_rows(daemon.socket(), &case, seconds, rows)?.per_second);
        }
        all.sort_by(f64::total_cmp);
        Ok(all[all.len() / 2])
    };
    let over_clients = |work| -> anyhow::Result<Vec<(f64, f64)>> {
        let point = |clients| Ok((clients as f64, throughput(work, clients, POINT_ROWS)?));
        CLIENTS.into_iter().map(point).collect()
    };
    let over_rows = || -> anyhow::Result<Vec<(f64, f64)>> {
        ROWS.into_iter().map(|rows| Ok((rows as f64, throughput(Work::PointRead, 16, rows)?))).collect()
    };
    let charts = [
        Chart {
            title: "requests per second",
            x: "clients",
            lines: vec![
                Line { name: "durable inserts", color: "#c0392b", points: over_clients(Work::Insert)? },
                Line { name: "point reads", color: "#2471a3", points: over_clients(Work::PointRead)? },
            ],
        },
        Chart {
            title: "point reads per second, 16 clients",
            x: "rows in the table",
            lines: vec![Line { name: "point reads", color: "#2471a3", points: over_rows()? }],
        },
    ];
    for line in charts.iter().flat_map(|chart| &chart.lines) {
        let points: Vec<_> = line.points.iter().map(|(x, y)| format!("{x:.0}: {y:.0}/s")).collect();
        println!("{}: {}", line.name, points.join(", "));
    }
    std::fs::write(picture, draw(&charts))?;
    Ok(())
}

fn draw(charts: &[Chart]) -> String {
    #[allow(clippy::cast_precision_loss, reason = "two charts")]
    let width = charts.len() as f64 * (WIDTH + MARGIN * 1.5) + MARGIN;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{}' font-family='sans-serif' font-size='12'>\n\
         <rect width='100%' height='100%' fill='white'/>\n",
        HEIGHT + MARGIN * 2.0
    );
    let mut left = MARGIN * 1.2;
    for chart in charts {
        draw_chart(chart, left, &mut svg);
        left += WIDTH + MARGIN * 1.5;
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_chart(chart: &Chart, left: f64, svg: &mut String) {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let (low, high) = points().fold((f64::MAX, 1.0_f64), |(low, high), (x, _)| (low.min(*x), high.max(*x)));
    let top = points().fold(1.0_f64, |top, (_, y)| top.max(*y)) * 1.1;
    let at = |x: f64, y: f64| {
        let right = (x.ln() - low.ln()) / (high.ln() - low.ln()).max(f64::MIN_POSITIVE) * WIDTH;
        (left + right, MARGIN + HEIGHT - y / top * HEIGHT)
    };
    let mut put = |text: String| {
        let _ = writeln!(svg, "{text}"); // writing to a String cannot fail
    };
    put(format!("<text x='{left}' y='{}' font-size='14'>{}</text>", MARGIN - 30.0, chart.title));
    for step in 0..=4 {
        let y = top / 4.0 * f64::from(step);
        let (x_at, y_at) = at(low, y);
        put(format!("<line x1='{x_at}' y1='{y_at}' x2='{}' y2='{y_at}' stroke='#ddd'/>", x_at + WIDTH));
        put(format!("<text x='{}' y='{}' text-anchor='end'>{:.0} k</text>", x_at - 6.0, y_at + 4.0, y / 1e3));
    }
    for (x, _) in &chart.lines[0].points {
        let (x_at, y_at) = at(*x, 0.0);
        put(format!("<text x='{x_at}' y='{}' text-anchor='middle'>{x}</text>", y_at + 18.0));
    }
    put(format!(
        "<text x='{}' y='{}' text-anchor='middle'>{}</text>",
        left + WIDTH / 2.0,
        MARGIN + HEIGHT + 40.0,
        chart.x
    ));
    let mut legend = MARGIN - 10.0;
    for line in &chart.lines {
        let path: Vec<_> = line.points.iter().map(|(x, y)| at(*x, *y)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        put(format!("<polyline points='{}' fill='none' stroke='{}' stroke-width='2'/>", path.join(" "), line.color));
        for (x, y) in line.points.iter().map(|(x, y)| at(*x, *y)) {
            put(format!("<circle cx='{x:.1}' cy='{y:.1}' r='3' fill='{}'/>", line.color));
        }
        put(format!("<text x='{}' y='{legend}' fill='{}'>{}</text>", left + WIDTH - 100.0, line.color, line.name));
        legend += 16.0;
    }
}
