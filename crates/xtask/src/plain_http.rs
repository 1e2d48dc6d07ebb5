//! One HTTP/1.1 request to a program on this machine: all that driving a window or an org takes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its first line, e.g. `HTTP/1.1 200 OK`.
    pub status: String,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// Whether it was answered as asked.
    pub fn is_success(&self) -> bool {
        self.status.split(' ').nth(1).is_some_and(|code| code.starts_with('2'))
    }
}

/// Asks, and reads until the other side closes the connection.
///
/// - `headers`: whole lines, without their ends.
/// - `patience`: the longest silence.
pub fn ask(
    port: u16,
    method: &str,
    path: &str,
    headers: &[String],
    body: &str,
    patience: Duration,
) -> Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("nobody listens on port {port}"))?;
    stream.set_read_timeout(Some(patience))?;
    let headers = headers.iter().fold(String::new(), |all, line| all + line + "\r\n");
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("{method} {path} is not answered"))?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").context("the answer has no body")?;
    let status = head.lines().next().unwrap_or_default().to_owned();
    Ok(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_told_apart() {
        let answer = parse(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nwell\r\n").unwrap();
        assert!(answer.is_success());
        assert_eq!(answer.body, "well\r\n");
        assert!(!parse(b"HTTP/1.1 503 Oops\r\n\r\n<html>").unwrap().is_success());
    }
}
