//! One page of a job's results, streamed: bytes in, chunks of rows out, bounded memory.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::{
    Response,
    header::{ACCEPT, HeaderMap, HeaderValue},
};
use serde::{Deserialize, Serialize};
use shadow::RowChunk;

use super::{csv::CsvReader, job::gone};
use crate::{Client, Error, client::Call};

/// Where a page begins. Opaque: stored and echoed, never computed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Locator(pub String);

impl Locator {
    /// Reads `Sforce-Locator`. The last page says the literal `null`; empty and absent are seen as well.
    fn from_header(value: Option<&str>) -> Option<Self> {
        value
            .map(str::trim)
            .filter(|value| !value.is_empty() && *value != "null")
            .map(|value| Self(value.to_owned()))
    }
}

/// What is known of a page once its last row has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageEnd {
    /// Rows of this page; equal to what the page announced.
    pub rows: u64,
    /// NUL characters that were removed, because PostgreSQL cannot hold them.
    pub nuls: u64,
    /// The next page, or `None` after the last.
    pub next: Option<Locator>,
}

/// A page being read. Take [`ResultPage::next_chunk`] until it returns `None`, then [`ResultPage::finish`].
#[derive(Debug)]
pub struct ResultPage {
    response: Response,
    reader: CsvReader,
    ready: VecDeque<RowChunk>,
    next: Option<Locator>,
    announced: Option<u64>,
    at: DateTime<Utc>,
    ended: bool,
}

impl Client {
    /// Opens one page of a complete job's results.
    ///
    /// - **Shape:** `locator` is `None` for the first page; `max_records` is an upper bound, pages may be smaller.
    ///   `spare` chunks are reused for their memory.
    /// - **Errors:** [`Error::JobGone`]; while reading, [`Error::PageCut`] and [`Error::PageShort`], after which the
    ///   same locator is asked for again; [`Error::LocatorRepeated`].
    /// - **Source:** `GET /jobs/query/<id>/results`. Every page repeats the header line; columns are found by name.
    pub async fn open_result_page(
        &self,
        job: &str,
        locator: Option<&Locator>,
        max_records: Option<u32>,
    ) -> Result<ResultPage, Error> {
        let path = format!("{}/results?{}", self.job_path(job), page_query(locator, max_records));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/csv"));
        let call = Call { headers, ..Call::get("result page", path.trim_end_matches('?')) };
        let answer = self.send(call).await.map_err(|error| gone(job, error))?;

        let next = Locator::from_header(answer.header("sforce-locator"));
        if next.is_some() && next.as_ref() == locator {
            return Err(Error::LocatorRepeated);
        }
        let announced = answer.header("sforce-numberofrecords").and_then(|value| value.trim().parse().ok());
        let at = answer.at();
        Ok(ResultPage {
            response: answer.into_response(),
            reader: CsvReader::new(),
            ready: VecDeque::new(),
            next,
            announced,
            at,
            ended: false,
        })
    }
}

fn page_query(locator: Option<&Locator>, max_records: Option<u32>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(locator) = locator {
        query.append_pair("locator", &locator.0);
    }
    if let Some(max_records) = max_records {
        query.append_pair("maxRecords", &max_records.to_string());
    }
    query.finish()
}

impl ResultPage {
    /// Salesforce's time of this page.
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// Rows that the page announced, where it did.
    pub fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Rows read so far.
    pub fn rows(&self) -> u64 {
        self.reader.rows()
    }

    /// The header's columns, once the first bytes have been read.
    pub fn columns(&self) -> Option<&Arc<[Box<str>]>> {
        self.reader.columns()
    }

    /// The page after this one.
    pub fn next_locator(&self) -> Option<&Locator> {
        self.next.as_ref()
    }

    /// Gives a merged chunk back, so that its memory is used again.
    pub fn reuse(&mut self, chunk: RowChunk) {
        self.reader.reuse(chunk);
    }

    /// The next rows: at most 5,000 or about 4 MB, whatever comes first; `None` after the last.
    pub async fn next_chunk(&mut self) -> Result<Option<RowChunk>, Error> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Ok(Some(chunk));
            }
            if self.ended {
                return Ok(None);
            }
            if let Some(bytes) = self.next_bytes().await? {
                self.reader.read(&bytes, &mut self.ready)?;
            } else {
                self.reader.finish(&mut self.ready)?;
                self.ended = true;
                self.check_count()?;
            }
        }
    }

    async fn next_bytes(&mut self) -> Result<Option<Bytes>, Error> {
        self.response
            .chunk()
            .await
            .map_err(|source| Error::PageCut { rows: self.reader.rows(), source: Some(source.without_url()) })
    }

    /// The only defence against a body that was cut where a line happens to end.
    fn check_count(&self) -> Result<(), Error> {
        let rows = self.reader.rows();
        match self.announced {
            Some(announced) if announced != rows => Err(Error::PageShort { announced, rows }),
            _ => Ok(()),
        }
    }

    /// What is known of the page after its last row.
    pub fn finish(self) -> PageEnd {
        PageEnd { rows: self.reader.rows(), nuls: self.reader.nuls(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_empty_and_absent_all_end_the_pages() {
        assert_eq!(Locator::from_header(Some("null")), None);
        assert_eq!(Locator::from_header(Some("")), None);
        assert_eq!(Locator::from_header(None), None);
        assert_eq!(Locator::from_header(Some("MTAwMDA")), Some(Locator("MTAwMDA".to_owned())));
    }
}
