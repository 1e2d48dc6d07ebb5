//! Checks of the event service: it answers, and the sync user may receive and read the events of every object.

use std::time::Duration;

use salesforce::pubsub::PubSub;
use salesforce::{ChannelMember, Client, Error};
use shadow::ObjectName;
use shadow::event::ChannelName;

use super::{
    Subject,
    sheet::{EVENTS, Outcome, Sheet},
};
use crate::live;
use crate::problem::Problem;

/// How long one question to the event service may take before the check gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

/// All checks of the event service. The questions to it cost no call of the daily limit; which objects a channel of
/// several carries is one call.
pub(super) async fn checks(sheet: &mut Sheet<'_>, subject: &Subject<'_>, client: &Client) {
    let title = "The event service answers";
    let service = match live::event_service(subject.environment, subject.sign_in, PATIENCE) {
        Ok(service) => service,
        Err(problem) => {
            sheet.failed("events", EVENTS, title, &problem);
            return;
        }
    };
    let channel = subject.environment.channel.as_deref().and_then(|name| ChannelName::parse(name).ok());
    let objects: Vec<&ObjectName> = subject.mappings.iter().map(|mapping| &mapping.object).collect();
    let Some(first) =
        channel.clone().or_else(|| objects.first().map(|object| ChannelName::of_object(object)))
    else {
        return;
    };
    match topic(&service, &first).await {
        // What is refused about one topic was answered all the same.
        Ok(_) | Err(Error::StreamRefused { .. }) => {
            let host = subject.environment.pubsub_endpoint.host_str().unwrap_or_default();
            sheet.note("events", EVENTS, title, Outcome::green(format!("{host} answers.")));
        }
        Err(error) => {
            sheet.note("events", EVENTS, title, Outcome::problem(&Problem::from(&error)));
            return;
        }
    }
    let members = match &channel {
        Some(name) => {
            let outcome = match topic(&service, name).await {
                Ok(found) if found.can_subscribe => Outcome::green("It can be subscribed to."),
                Ok(_) => Outcome::red("The sync user may not subscribe to it.")
                    .cure("Give the sync user View All Records on the objects of the channel."),
                Err(error) => Outcome::problem(&Problem::from(&error)),
            };
            sheet.note(format!("events.{name}"), EVENTS, format!("{name} can be subscribed to"), outcome);
            client.channel_members().await.ok()
        }
        None => None,
    };
    for object in objects {
        let outcome = of_object(&service, channel.as_ref(), object, members.as_deref()).await;
        let title = format!("Changes of {object} are sent and can be read");
        sheet.note(format!("events.{object}"), EVENTS, title, outcome);
    }
}

/// Whether an object's events are sent to the sync user, and can be decoded.
async fn of_object(
    service: &PubSub,
    channel: Option<&ChannelName>,
    object: &ObjectName,
    members: Option<&[ChannelMember]>,
) -> Outcome {
    let found = match topic(service, &ChannelName::of_object(object)).await {
        Ok(found) => found,
        Err(error) => return Outcome::problem(&Problem::from(&error)),
    };
    if !found.can_subscribe {
        return Outcome::red("The sync user may not receive them.").cure(format!(
            "Give the sync user View All Records on {object}, in the permission set Shadow Sync."
        ));
    }
    if let (Some(channel), Some(members)) = (channel, members)
        && !members.iter().any(|member| member.is_of(channel, object))
    {
        return Outcome::problem(&live::not_selected(channel, object));
    }
    let Some(schema) = found.schema_id else {
        return Outcome::yellow("They are sent, and the service does not say in which form.");
    };
    match tokio::time::timeout(PATIENCE, service.schema(&schema)).await {
        Ok(Ok(_)) => Outcome::green("They are sent, and their form is understood."),
        Ok(Err(error)) => Outcome::problem(&Problem::from(&error)),
        Err(_) => Outcome::grey("The service did not tell their form in time.")
            .cure("Run the check again; if it stays like this, look at the network to the event service."),
    }
}

/// What the service says of a topic.
async fn topic(service: &PubSub, name: &ChannelName) -> Result<salesforce::pubsub::Topic, Error> {
    match tokio::time::timeout(PATIENCE, service.topic(name)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::StreamSilent { waited: PATIENCE }),
    }
}
