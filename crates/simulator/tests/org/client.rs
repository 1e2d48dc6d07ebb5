//! A plain HTTP client that is signed in to a simulated org. It knows nothing but the interface.

use reqwest::{Client, Response, redirect::Policy};
use serde_json::{Value, json};
use simulator::{DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, Options, Simulator};

/// A running org and a session in it.
pub struct World {
    pub simulator: Simulator,
    pub http: Client,
    pub token: String,
}

/// An HTTP client that follows no redirect, as the tests want to see them.
pub fn http() -> Client {
    // Plain HTTP needs no TLS, but the client is built with it and wants to know whose.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().redirect(Policy::none()).no_proxy().build().unwrap()
}

impl World {
    pub async fn start(options: Options) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let mut world = Self { simulator, http: http(), token: String::new() };
        world.sign_in().await;
        world
    }

    pub async fn default() -> Self {
        Self::start(Options::default()).await
    }

    pub async fn sign_in(&mut self) {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", DEMO_CLIENT_ID),
            ("client_secret", DEMO_CLIENT_SECRET),
        ];
        let (status, body) = self.post_form("services/oauth2/token", &form).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().clone_into(&mut self.token);
    }

    /// The address of a path below the org.
    pub fn at(&self, path: &str) -> String {
        format!("{}{}", self.simulator.base_url(), path.trim_start_matches('/'))
    }

    pub async fn post_form(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        let reply = self.http.post(self.at(path)).form(form).send().await.unwrap();
        (reply.status().as_u16(), reply.json().await.unwrap_or(Value::Null))
    }

    /// `GET` below `/services/data/v67.0/`.
    pub async fn get(&self, path: &str) -> Response {
        self.request(reqwest::Method::GET, path).send().await.unwrap()
    }

    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let path =
            if path.starts_with('/') { path.to_owned() } else { format!("services/data/v67.0/{path}") };
        self.http.request(method, self.at(&path)).bearer_auth(&self.token)
    }

    pub async fn json(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        let status = reply.status();
        let body: Value = reply.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    pub async fn query(&self, soql: &str) -> Value {
        let reply = self.request(reqwest::Method::GET, "query").query(&[("q", soql)]).send().await.unwrap();
        let status = reply.status();
        let body: Value = reply.json().await.unwrap();
        assert!(status.is_success(), "{soql}: {status} {body}");
        body
    }

    /// The code and message with which a query is refused.
    pub async fn refused(&self, soql: &str) -> (String, String) {
        let reply = self.request(reqwest::Method::GET, "query").query(&[("q", soql)]).send().await.unwrap();
        assert_eq!(reply.status(), 400, "{soql}");
        let body: Value = reply.json().await.unwrap();
        assert!(body[0]["message"].is_string(), "{body}");
        (body[0]["errorCode"].as_str().unwrap().to_owned(), body[0]["message"].as_str().unwrap().to_owned())
    }

    pub async fn create_job(&self, operation: &str, soql: &str) -> (u16, Value) {
        let body = json!({"operation": operation, "query": soql});
        let reply = self.request(reqwest::Method::POST, "jobs/query").json(&body).send().await.unwrap();
        (reply.status().as_u16(), reply.json().await.unwrap())
    }

    /// Creates a job and polls until it is finished; the answer is its last state.
    pub async fn run_job(&self, operation: &str, soql: &str) -> Value {
        let (status, job) = self.create_job(operation, soql).await;
        assert_eq!(status, 200, "{job}");
        let path = format!("jobs/query/{}", job["id"].as_str().unwrap());
        loop {
            let job = self.json(&path).await;
            if !matches!(job["state"].as_str(), Some("UploadComplete" | "InProgress")) {
                return job;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// One page of a job: its records, the number announced, and the next locator.
    pub async fn page(
        &self,
        job: &Value,
        parameters: &[(&str, &str)],
    ) -> (Vec<csv::StringRecord>, u64, String) {
        let path = format!("jobs/query/{}/results", job["id"].as_str().unwrap());
        let reply = self.request(reqwest::Method::GET, &path).query(parameters).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{:?}", reply.text().await);
        let header = |name: &str| reply.headers()[name].to_str().unwrap().to_owned();
        let (announced, locator) =
            (header("Sforce-NumberOfRecords").parse().unwrap(), header("Sforce-Locator"));
        let text = reply.text().await.unwrap();
        let records = csv::Reader::from_reader(text.as_bytes()).into_records().map(Result::unwrap).collect();
        (records, announced, locator)
    }
}
