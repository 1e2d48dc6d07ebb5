//! A bare gRPC client of the Pub/Sub API, generated from its interface file, that decodes events with another Avro
//! library than the one that the org writes them with.

use std::{collections::HashMap, time::Duration};

use serde_json::Value;
use tokio::{sync::mpsc, time::timeout};
use tonic::{
    Request, Status, Streaming,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use self::proto::{
    ConsumerEvent, FetchRequest, FetchResponse, ReplayPreset, SchemaInfo, SchemaRequest, TopicInfo,
    TopicRequest, pub_sub_client::PubSubClient,
};
use crate::client::World;

#[allow(clippy::all, clippy::pedantic, missing_docs, unused_qualifications, reason = "generated")]
pub mod proto {
    tonic::include_proto!("eventbus.v1");
}

/// The longest that anything may take that is to happen at once.
const SOON: Duration = Duration::from_secs(10);
pub const ALL: &str = "/data/ChangeEvents";

/// Where a subscription begins.
#[derive(Clone)]
pub enum From {
    Latest,
    Earliest,
    After(Vec<u8>),
}

/// A client that is signed in as the world is.
#[derive(Clone)]
pub struct PubSub {
    client: PubSubClient<Channel>,
    /// `accesstoken`, `instanceurl` and `tenantid`.
    pub headers: [(&'static str, String); 3],
}

/// A subscription.
pub struct Listener {
    pubsub: PubSub,
    topic: String,
    requests: mpsc::Sender<FetchRequest>,
    responses: Streaming<FetchResponse>,
    schemas: HashMap<String, Value>,
}

/// One event, decoded.
#[derive(Debug, Clone)]
pub struct Received {
    pub replay_id: Vec<u8>,
    pub schema_id: String,
    pub payload: Vec<u8>,
    /// The header and body, as a JSON object; `Null` if it cannot be decoded.
    pub body: Value,
}

impl Received {
    pub fn header(&self, name: &str) -> Value {
        self.body["ChangeEventHeader"][name].clone()
    }
}

impl PubSub {
    pub fn new(world: &World) -> Self {
        let simulator = &world.simulator;
        let channel = Endpoint::from_shared(simulator.grpc_url().to_string()).unwrap().connect_lazy();
        let base = simulator.base_url().as_str().trim_end_matches('/').to_owned();
        let headers = [
            ("accesstoken", world.token.clone()),
            ("instanceurl", base),
            ("tenantid", simulator.org().id().to_string()),
        ];
        Self { client: PubSubClient::new(channel), headers }
    }

    /// The same client with another value of a header; an empty one is left out.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        for header in &mut self.headers {
            if header.0 == name {
                value.clone_into(&mut header.1);
            }
        }
        self
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in self.headers.iter().filter(|(_, value)| !value.is_empty()) {
            request.metadata_mut().insert(*name, MetadataValue::try_from(value.as_str()).unwrap());
        }
        request
    }

    pub async fn topic(&self, name: &str) -> Result<TopicInfo, Status> {
        let request = self.request(TopicRequest { topic_name: name.to_owned() });
        self.client.clone().get_topic(request).await.map(tonic::Response::into_inner)
    }

    pub async fn schema(&self, id: &str) -> Result<SchemaInfo, Status> {
        let request = self.request(SchemaRequest { schema_id: id.to_owned() });
        self.client.clone().get_schema(request).await.map(tonic::Response::into_inner)
    }

    /// Subscribes with a first request for so many events.
    pub async fn subscribe(&self, topic: &str, from: From, requested: i32) -> Result<Listener, Status> {
        let (requests, mut waiting) = mpsc::channel(16);
        let (replay_preset, replay_id) = match from {
            From::Latest => (ReplayPreset::Latest, Vec::new()),
            From::Earliest => (ReplayPreset::Earliest, Vec::new()),
            From::After(id) => (ReplayPreset::Custom, id),
        };
        let first = FetchRequest {
            topic_name: topic.to_owned(),
            replay_preset: replay_preset.into(),
            replay_id,
            num_requested: requested,
            auth_refresh: String::new(),
        };
        requests.send(first).await.unwrap();
        let outbound = futures::stream::poll_fn(move |context| waiting.poll_recv(context));
        let responses = self.client.clone().subscribe(self.request(outbound)).await?.into_inner();
        Ok(Listener {
            pubsub: self.clone(),
            topic: topic.to_owned(),
            requests,
            responses,
            schemas: HashMap::new(),
        })
    }
}

impl World {
    pub fn pubsub(&self) -> PubSub {
        PubSub::new(self)
    }

    /// A subscription to everything from now on, that the org knows of when this returns.
    pub async fn listen(&self) -> Listener {
        self.listen_to(ALL).await
    }

    pub async fn listen_to(&self, topic: &str) -> Listener {
        let before = self.simulator.org().subscribers().len();
        let listener = self.pubsub().subscribe(topic, From::Latest, 100).await.unwrap();
        until(|| self.simulator.org().subscribers().len() > before).await;
        listener
    }
}

/// Waits until a fact holds.
pub async fn until(fact: impl Fn() -> bool) {
    let waiting = async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, waiting).await.expect("it should have happened by now");
}

impl Listener {
    /// Asks for more.
    pub async fn ask(&self, requested: i32) {
        self.ask_of(&self.topic, requested).await;
    }

    pub async fn ask_of(&self, topic: &str, requested: i32) {
        let request = FetchRequest {
            topic_name: topic.to_owned(),
            num_requested: requested,
            ..FetchRequest::default()
        };
        self.send(request).await;
    }

    pub async fn send(&self, request: FetchRequest) {
        self.requests.send(request).await.unwrap();
    }

    /// The next response; nothing when the stream ended normally.
    pub async fn next(&mut self) -> Result<Option<FetchResponse>, Status> {
        timeout(SOON, self.responses.message()).await.expect("a response should have come by now")
    }

    /// Reports whether nothing comes for a while.
    pub async fn is_quiet(&mut self, a_while: Duration) -> bool {
        timeout(a_while, self.responses.message()).await.is_err()
    }

    /// The next so many events, whatever the responses they come in.
    pub async fn events(&mut self, count: usize) -> Vec<Received> {
        let mut events = Vec::new();
        while events.len() < count {
            let response = self.next().await.unwrap().expect("the stream should not have ended");
            for event in response.events {
                events.push(self.decode(event).await);
            }
        }
        assert_eq!(events.len(), count);
        events
    }

    pub async fn event(&mut self) -> Received {
        self.events(1).await.remove(0)
    }

    pub async fn decode(&mut self, event: ConsumerEvent) -> Received {
        let ConsumerEvent { event, replay_id } = event;
        let event = event.unwrap();
        if !self.schemas.contains_key(&event.schema_id) {
            let schema = self.pubsub.schema(&event.schema_id).await;
            let text =
                schema.map_or(Value::Null, |schema| serde_json::from_str(&schema.schema_json).unwrap());
            self.schemas.insert(event.schema_id.clone(), text);
        }
        let schema = &self.schemas[&event.schema_id];
        let body = schema
            .to_string()
            .parse::<serde_avro_fast::Schema>()
            .ok()
            .and_then(|schema| serde_avro_fast::from_datum_slice::<Value>(&event.payload, &schema).ok());
        Received {
            replay_id,
            schema_id: event.schema_id,
            payload: event.payload,
            body: body.unwrap_or(Value::Null),
        }
    }

    /// The names of the fields of an event's schema, by position.
    pub fn fields_of(&self, event: &Received) -> Vec<String> {
        let fields = self.schemas[&event.schema_id]["fields"].as_array().unwrap();
        fields.iter().map(|field| field["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The names of the fields that a bitmap of an event's header marks; components as `4.1`.
    pub fn marked(&self, event: &Received, header: &str) -> Vec<String> {
        let names = self.fields_of(event);
        let mut marked = Vec::new();
        for element in event.header(header).as_array().unwrap() {
            let element = element.as_str().unwrap();
            let (parent, digits) =
                element.split_once('-').map_or((None, element), |(at, bits)| (Some(at), bits));
            let digits = digits.strip_prefix("0x").unwrap();
            assert!(digits.len().is_multiple_of(2) && !digits.starts_with("00"), "{element}");
            assert_eq!(digits, digits.to_uppercase());
            for (place, digit) in digits.bytes().rev().enumerate() {
                let digit = (digit as char).to_digit(16).unwrap();
                for bit in (0..4).filter(|bit| digit & (1 << bit) != 0) {
                    let position = place * 4 + bit;
                    marked.push(match parent {
                        Some(parent) => format!("{}.{position}", names[parent.parse::<usize>().unwrap()]),
                        None => names[position].clone(),
                    });
                }
            }
        }
        marked
    }
}

/// The error code among the trailers of a refusal.
pub fn code(status: &Status) -> &str {
    let code = status.metadata().get("error-code").map(|code| code.to_str().unwrap());
    code.and_then(|code| code.strip_prefix("sfdc.platform.eventbus.grpc.")).unwrap_or("none")
}

/// A trailer of a refusal.
pub fn trailer<'a>(status: &'a Status, name: &str) -> &'a str {
    status.metadata().get(name).map_or("none", |value| value.to_str().unwrap())
}
