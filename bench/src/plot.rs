//! Curves as SVG, to stand inside a page.

use plotters::prelude::*;

/// A curve by its name.
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// Points; those with a coordinate that is not above zero are left out, since both axes
    /// are logarithmic.
    pub points: Vec<(f64, f64)>,
}

/// Width and height of a plot, in pixels.
const SIZE: (u32, u32) = (900, 420);

/// A plot with logarithmic axes. Empty text if there is nothing to plot.
///
/// # Errors
/// What the drawing library cannot do.
pub fn svg(title: &str, x_name: &str, y_name: &str, all: &[Series]) -> Result<String, String> {
    let is_drawn = |point: &&(f64, f64)| point.0 > 0.0 && point.1 > 0.0;
    let points = || all.iter().flat_map(|one| one.points.iter().filter(is_drawn));
    let range = |of: fn(&(f64, f64)) -> f64| {
        let (low, high) = points()
            .map(of)
            .fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        (low * 0.9, high * 1.1)
    };
    if points().next().is_none() {
        return Ok(String::new());
    }
    let ((x_low, x_high), (y_low, y_high)) = (range(|point| point.0), range(|point| point.1));
    let mut out = String::new();
    {
        let area = SVGBackend::with_string(&mut out, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(text)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 18))
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(72)
            .build_cartesian_2d((x_low..x_high).log_scale(), (y_low..y_high).log_scale())
            .map_err(text)?;
        chart.configure_mesh().x_desc(x_name).y_desc(y_name).draw().map_err(text)?;
        for (at, one) in all.iter().enumerate() {
            let color = Palette99::pick(at).to_rgba();
            let line: Vec<(f64, f64)> = one.points.iter().filter(is_drawn).copied().collect();
            let drawn = chart.draw_series(LineSeries::new(line.clone(), color.stroke_width(2)));
            drawn
                .map_err(text)?
                .label(&one.name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
            let dots = line.into_iter().map(|point| Circle::new(point, 3, color.filled()));
            chart.draw_series(dots).map_err(text)?;
        }
        let labels = chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .draw();
        labels.map_err(text)?;
        area.present().map_err(text)?;
    }
    Ok(out)
}

fn text(error: impl std::fmt::Display) -> String {
    format!("plot: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_its_axes_and_curves_and_one_without_points_is_empty() {
        let series = |points: Vec<(f64, f64)>| vec![Series { name: "echo-mmsg".into(), points }];
        let drawn = svg("t", "window", "rate", &series(vec![(1.0, 5.0), (64.0, 0.0), (16.0, 9.0)]));
        let drawn = drawn.unwrap();
        for part in ["<svg", "window", "rate", "echo-mmsg", "</svg>"] {
            assert!(drawn.contains(part), "{part}");
        }
        assert_eq!(svg("t", "x", "y", &series(vec![(0.0, 1.0)])), Ok(String::new()));
    }
}
