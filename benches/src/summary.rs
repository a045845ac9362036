//! Many measurements as one line: median, least, most.

use std::fmt;

/// The median of some measurements, and their range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Summary {
    /// `None` where there are no measurements.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 };
        Some(Self { median, least, most })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.most < 100.0 { 2 } else { 0 };
        write!(f, "{:.digits$} [{:.digits$}..{:.digits$}]", self.median, self.least, self.most)
    }
}

/// Rows of cells, the first row a heading, with columns as wide as they need.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(column, (cell, &width))| {
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        text.push_str(cells.join("   ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let summary = Summary::of([4.0, 1.0, 3.0, 2.0]).expect("four values");
        assert_eq!(summary.to_string(), "2.50 [1.00..4.00]");
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".to_owned(), "long heading".to_owned()], vec!["name".to_owned(), "1".to_owned()]];
        assert_eq!(table(&rows), "a      long heading\nname              1\n");
    }
}
