//! `/metrics`: in OpenMetrics for who asks for it, else in the older text format that every scraper reads.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The answer to a scrape.
///
/// - `text`: every metric in OpenMetrics.
/// - `asked`: the request's headers; `Accept` decides.
pub fn answer(text: String, asked: &HeaderMap) -> Response {
    let accepts = asked.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepts.into_iter().any(|accept| accept.contains("application/openmetrics-text")) {
        ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
    } else {
        ([(header::CONTENT_TYPE, PROMETHEUS)], plain(&text)).into_response()
    }
}

/// OpenMetrics in the older format: there a counter is described under the name of its sample, and units and the end
/// are not marked.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name), rest) => help = Some((name, rest.unwrap_or_default())),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                if let Some((_, words)) = help.take().filter(|(described, _)| *described == name) {
                    plain.push_str(&format!("# HELP {name}{suffix} {words}\n"));
                }
                plain.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            (Some("#"), Some("UNIT" | "EOF"), ..) => {}
            _ => {
                plain.push_str(line);
                plain.push('\n');
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_described_under_the_name_of_its_sample() {
        let open = "# HELP sf_events Change events.\n# TYPE sf_events counter\nsf_events_total{a=\"b c\"} 1\n\
                    # HELP sf_lag_seconds How far.\n# TYPE sf_lag_seconds gauge\n# UNIT sf_lag_seconds seconds\n\
                    sf_lag_seconds 1.5\n# EOF\n";
        assert_eq!(
            plain(open),
            "# HELP sf_events_total Change events.\n# TYPE sf_events_total counter\nsf_events_total{a=\"b c\"} 1\n\
             # HELP sf_lag_seconds How far.\n# TYPE sf_lag_seconds gauge\nsf_lag_seconds 1.5\n"
        );
    }
}
