//! The pages of a job's result, rendered while they are sent.

use std::{io::Write, sync::Arc};

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::stream;
use hyper::{
    Response, StatusCode,
    header::{self, HeaderValue},
};
use serde_json::{Value as Json, json};

use super::job::{Frozen, Job, State};
use crate::{
    faults::Fault,
    http::{Failure, Reply, ok},
    rest::Asked,
    soql::Plan,
};

/// Bytes that are rendered before they are handed on.
const CHUNK: usize = 64 * 1024;
/// Page addresses of one answer of `resultPages`.
const PAGES_LISTED: u64 = 5;

/// Answers `GET /jobs/query/<id>/results`.
pub fn page(asked: &Asked<'_>, job: &Job) -> Result<Reply, Failure> {
    let frozen = readable(asked, job)?;
    let from = position(asked, job)?;
    let total = frozen.rows.len();
    let to = total.min(from + page_size(asked));
    let announced = to - from;
    let sent_to = match &asked.call.fault {
        Some(Fault::ShortPage { missing }) => to.saturating_sub(*missing).max(from),
        _ => to,
    };
    let gzip = asked.call.accepts_gzip();
    let page = CsvPage {
        frozen: frozen.clone(),
        plan: Arc::clone(&job.plan),
        delimiter: job.delimiter,
        line_end: job.line_end,
        next: from,
        to: sent_to,
        header_due: announced > 0 || asked.org.options.bulk_header_without_rows,
        packed: gzip.then(|| GzEncoder::new(Vec::with_capacity(CHUNK), Compression::fast())),
        raw: Vec::with_capacity(CHUNK + 16 * 1024),
        scratch: String::new(),
    };
    let mut reply = Response::new(Body::from_stream(stream::iter(page.map(Ok::<_, std::io::Error>))));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=UTF-8"));
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert("Sforce-NumberOfRecords", HeaderValue::from(announced));
    let locator = if to == total { "null".to_owned() } else { locator(job, to) };
    if let Ok(locator) = HeaderValue::from_str(&locator) {
        headers.insert("Sforce-Locator", locator);
    }
    Ok(reply)
}

/// Answers `GET /jobs/query/<id>/resultPages`: addresses of pages that can be fetched side by side.
pub fn page_list(asked: &Asked<'_>, job: &Job) -> Result<Reply, Failure> {
    let frozen = readable(asked, job)?;
    let size = page_size(asked);
    let from = position(asked, job)?;
    let base = format!("/services/data/v{}/jobs/query/{}", asked.version, job.id);
    let starts: Vec<u64> = (0..PAGES_LISTED)
        .map(|page| from + page * size)
        .take_while(|start| *start < frozen.rows.len() || *start == 0)
        .collect();
    let pages: Vec<Json> = starts
        .iter()
        .map(|start| json!({"resultUrl": format!("{base}/results?maxRecords={size}&locator={}", locator(job, *start))}))
        .collect();
    let next = from + PAGES_LISTED * size;
    let done = next >= frozen.rows.len();
    let mut body = json!({"resultPages": pages, "done": done});
    if !done {
        body["nextRecordsUrl"] = json!(format!("{base}/resultPages?locator={}", locator(job, next)));
    }
    Ok(ok(&body))
}

fn readable<'j>(asked: &Asked<'_>, job: &'j Job) -> Result<&'j Frozen, Failure> {
    if asked.version != job.version {
        let message = format!("The job was created with version {}, not {}", job.version, asked.version);
        return Err(Failure::new(StatusCode::CONFLICT, "VERSION_MISMATCH", message));
    }
    let state = job.state(asked.org.clock.now_ms());
    match job.frozen() {
        Some(frozen) if state == State::JobComplete => Ok(frozen),
        _ => {
            let message = format!("Job is not complete: its state is {}", state.name());
            Err(Failure::bad_request("INVALIDJOBSTATE", message))
        }
    }
}

/// The most records of a page: what the client asks for, but never more than the org is willing to send at once.
fn page_size(asked: &Asked<'_>) -> u64 {
    let wished = asked.call.parameter("maxRecords").and_then(|records| records.parse::<u64>().ok());
    let size = wished.filter(|records| *records > 0).unwrap_or(asked.org.options.bulk_page);
    asked.org.options.bulk_page_cap.map_or(size, |cap| size.min(cap)).max(1)
}

/// A locator says where a page begins, in a form that nobody should compute with.
fn locator(job: &Job, from: u64) -> String {
    STANDARD.encode(format!("0:{}:{from}", job.id))
}

fn position(asked: &Asked<'_>, job: &Job) -> Result<u64, Failure> {
    let Some(text) = asked.call.parameter("locator") else { return Ok(0) };
    let decoded = STANDARD.decode(&text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let from = decoded.and_then(|decoded| {
        let mut parts = decoded.split(':');
        let ours = parts.next() == Some("0") && parts.next() == Some(job.id.as_str());
        ours.then(|| parts.next()?.parse::<u64>().ok()).flatten()
    });
    let total = job.frozen().map_or(0, |frozen| frozen.rows.len());
    from.filter(|from| *from <= total)
        .ok_or_else(|| Failure::bad_request("INVALID_QUERY_LOCATOR", format!("Invalid locator: {text}")))
}

/// A page as pieces of bytes. Records are rendered one after another straight into the piece; nothing is kept.
pub struct CsvPage {
    frozen: Frozen,
    plan: Arc<Plan>,
    delimiter: u8,
    line_end: &'static str,
    next: u64,
    to: u64,
    header_due: bool,
    packed: Option<GzEncoder<Vec<u8>>>,
    raw: Vec<u8>,
    scratch: String,
}

impl CsvPage {
    fn write_header(&mut self) {
        for (at, column) in self.plan.columns().iter().enumerate() {
            if at > 0 {
                self.raw.push(self.delimiter);
            }
            self.raw.push(b'"');
            self.raw.extend_from_slice(column.header.as_bytes());
            self.raw.push(b'"');
        }
        self.raw.extend_from_slice(self.line_end.as_bytes());
        self.header_due = false;
    }

    fn write_rows(&mut self) {
        let Frozen { snapshot, rows } = &self.frozen;
        let columns = self.plan.columns();
        for row in rows.slice(self.next, self.to) {
            for (at, column) in columns.iter().enumerate() {
                if at > 0 {
                    self.raw.push(self.delimiter);
                }
                snapshot.with_column(self.plan.object, row, &column.source, &mut self.scratch, |value| {
                    value.write_csv(&mut self.raw);
                });
            }
            self.raw.extend_from_slice(self.line_end.as_bytes());
            self.next += 1;
            if self.raw.len() >= CHUNK {
                break;
            }
        }
    }
}

impl Iterator for CsvPage {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            self.raw.clear();
            if self.header_due {
                self.write_header();
            }
            self.write_rows();
            let Some(packed) = self.packed.as_mut() else {
                return (!self.raw.is_empty()).then(|| Bytes::copy_from_slice(&self.raw));
            };
            packed.write_all(&self.raw).expect("packing in memory cannot fail");
            if self.raw.is_empty() {
                let rest = self.packed.take()?.finish().expect("packing in memory cannot fail");
                // Without a packer the next call finds nothing left to render.
                return Some(Bytes::from(rest));
            }
            if packed.get_ref().len() >= CHUNK / 4 {
                return Some(Bytes::from(std::mem::take(packed.get_mut())));
            }
        }
    }
}
