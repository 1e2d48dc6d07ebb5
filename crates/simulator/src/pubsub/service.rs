//! The methods of the service, and who may call them.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{
    proto::{self, pub_sub_server},
    refusal::Rpc,
    subscription::Subscription,
};
use crate::{
    events::{Topic, event_name},
    ids::RecordId,
    lock::lock,
    org::Org,
};

/// Responses that wait for a slow client.
const WAITING: usize = 2;

/// The service of one org.
pub struct PubSub {
    org: Arc<Org>,
}

impl PubSub {
    /// The service of this org.
    pub fn new(org: Arc<Org>) -> Self {
        Self { org }
    }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl pub_sub_server::PubSub for PubSub {
    type SubscribeStream = Responses<proto::FetchResponse>;
    type PublishStreamStream = Responses<proto::PublishResponse>;
    type ManagedSubscribeStream = Responses<proto::ManagedFetchResponse>;

    async fn subscribe(
        &self,
        request: Request<Streaming<proto::FetchRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let rpc = Rpc::new("Subscribe");
        let user = caller(&self.org, request.metadata(), &rpc)?;
        let (responses, mut waiting) = mpsc::channel(WAITING);
        let org = Arc::clone(&self.org);
        let stopping = org.stopping.clone();
        let inbound = request.into_inner();
        self.org.tasks.spawn(async move {
            stopping.run_until_cancelled(Subscription::serve(org, rpc, user, inbound, responses)).await;
        });
        Ok(Response::new(stream::poll_fn(move |context| waiting.poll_recv(context)).boxed()))
    }

    async fn get_schema(
        &self,
        request: Request<proto::SchemaRequest>,
    ) -> Result<Response<proto::SchemaInfo>, Status> {
        let rpc = Rpc::new("GetSchema");
        caller(&self.org, request.metadata(), &rpc)?;
        let id = request.into_inner().schema_id;
        let schema = self.org.schema_of_events(&id).ok_or_else(|| rpc.refuse("schema.validation.failed"))?;
        Ok(Response::new(proto::SchemaInfo {
            schema_json: schema.json.clone(),
            schema_id: schema.id.clone(),
            rpc_id: rpc.id,
        }))
    }

    async fn get_topic(
        &self,
        request: Request<proto::TopicRequest>,
    ) -> Result<Response<proto::TopicInfo>, Status> {
        let rpc = Rpc::new("GetTopic");
        let user = caller(&self.org, request.metadata(), &rpc)?;
        let name = request.into_inner().topic_name;
        let topic = topic(&self.org, &name, user, &rpc)?;
        let schema_id = match &topic {
            Topic::Object(object) => self.org.newest_event_schema(object).map(|schema| schema.id.clone()),
            Topic::Channel(_) => None,
        };
        Ok(Response::new(proto::TopicInfo {
            topic_name: name,
            tenant_guid: format!("core/simulated/{}", self.org.id()),
            can_publish: false,
            can_subscribe: true,
            schema_id: schema_id.unwrap_or_default(),
            rpc_id: rpc.id,
        }))
    }

    async fn publish(
        &self,
        request: Request<proto::PublishRequest>,
    ) -> Result<Response<proto::PublishResponse>, Status> {
        let rpc = Rpc::new("Publish");
        caller(&self.org, request.metadata(), &rpc)?;
        Err(cannot_publish())
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<proto::PublishRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let rpc = Rpc::new("PublishStream");
        caller(&self.org, request.metadata(), &rpc)?;
        Err(cannot_publish())
    }

    async fn managed_subscribe(
        &self,
        request: Request<Streaming<proto::ManagedFetchRequest>>,
    ) -> Result<Response<Self::ManagedSubscribeStream>, Status> {
        let rpc = Rpc::new("ManagedSubscribe");
        caller(&self.org, request.metadata(), &rpc)?;
        Err(rpc.refuse("managed.subscription.developer.name.not.found"))
    }
}

fn cannot_publish() -> Status {
    Status::permission_denied("Change events are published by the org alone.")
}

/// Who calls, by the metadata that every call carries.
fn caller(org: &Org, metadata: &MetadataMap, rpc: &Rpc) -> Result<RecordId, Status> {
    let text =
        |name: &str| metadata.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    let headers = text("accesstoken").zip(text("instanceurl")).zip(text("tenantid"));
    let Some(((token, instance), tenant)) = headers else {
        return Err(rpc.refuse("service.auth.headers.invalid"));
    };
    if url::Url::parse(instance).is_err() || RecordId::parse(tenant).is_none() {
        return Err(rpc.refuse("service.auth.headers.invalid"));
    }
    let own = org.base_url.as_str().trim_end_matches('/');
    // The 15-character form of the org's id is reported to fail.
    let at_home = instance.trim_end_matches('/') == own && tenant == org.id().as_str();
    let session = lock(&org.identity).session(token).cloned();
    let session =
        session.filter(|session| session.scope.split(' ').any(|scope| matches!(scope, "api" | "full")));
    match session {
        Some(session) if at_home => Ok(session.user),
        _ => Err(rpc.refuse("service.auth.error")),
    }
}

/// What a topic's name means, if the user may subscribe to it.
///
/// A channel of several objects is open to everybody; objects that a user may not see are not on it. One object's own
/// topic is refused. A topic whose object is not selected is open and stays silent, unless the org refuses that too.
pub fn topic(org: &Org, name: &str, user: RecordId, rpc: &Rpc) -> Result<Topic, Status> {
    if name.is_empty() {
        return Err(rpc.refuse("topic.validation.empty"));
    }
    let topic = org.topic(name).ok_or_else(|| rpc.refuse("topic.not.found"))?;
    if let Topic::Object(object) = &topic {
        let selected = lock(&org.events).channels.is_selected(object);
        if !org.may_subscribe(user, object) || (org.options.refuse_unselected && !selected) {
            return Err(rpc.refuse("topic.meta.permission"));
        }
        debug_assert_eq!(name.strip_prefix("/data/"), Some(event_name(object).as_str()));
    }
    Ok(topic)
}
