//! What the cache can be the matter with. Numbers 8xxx.

use super::{MendAct, Mender, Problem};

impl From<&cache::Error> for Problem {
    fn from(error: &cache::Error) -> Self {
        use cache::Error as E;
        let (code, title) = match error {
            E::Address { .. } => ("SS-8001", "The cache's address cannot be used"),
            E::Pattern { .. } => ("SS-8002", "This is not a pattern of keys"),
            E::Unreachable { .. } => ("SS-8003", "The cache cannot be reached"),
            E::Insecure { .. } => ("SS-8004", "No secure connection to the cache can be made"),
            E::Timeout { .. } => ("SS-8005", "The cache does not answer in time"),
            E::SignIn { .. } => ("SS-8006", "The cache refuses the user or the password"),
            E::Forbidden { .. } => ("SS-8007", "The cache forbids a command that is needed"),
            E::Loading { .. } => ("SS-8008", "The cache is loading its data from disk"),
            E::ReadOnly { .. } => ("SS-8009", "The cache takes no writes"),
            E::ClusterDown { .. } => ("SS-8010", "A part of the cache's cluster is down"),
            E::NoMaster { .. } => ("SS-8011", "The Sentinels name no master"),
            E::UnknownScript { .. } | E::Refused { .. } => ("SS-8012", "The cache refused a command"),
        };
        let waits = match error {
            E::Address { .. } | E::Pattern { .. } => "",
            _ => " Changes wait meanwhile, and are told to the cache when it does what it is asked.",
        };
        let problem = Self::new(code, title, format!("{error}.{waits}")).mended_by(match error {
            E::Loading { .. } | E::UnknownScript { .. } => Mender::Itself,
            E::Address { .. } | E::Pattern { .. } => Mender::You,
            _ => Mender::PlatformEngineer,
        });
        match error {
            E::Address { .. } => problem
                .step("Write redis_url as redis://HOST:6379, redis+sentinel://HOST:26379/SERVICE or redis-cluster://HOST:6379.")
                .act(MendAct::OpenSettings),
            E::Pattern { .. } => problem.step("Write a pattern such as catalog:*"),
            E::SignIn { .. } => problem
                .step("Check the user in redis_url, and the password in SHADOW_SYNC_REDIS_PASSWORD.")
                .act(MendAct::OpenSettings),
            E::Forbidden { rule, .. } => problem
                .step("Allow it to the user, then check again.")
                .paste(rule.clone())
                .act(MendAct::CheckAgain),
            E::Unreachable { .. } | E::Timeout { .. } | E::ClusterDown { .. } | E::NoMaster { .. } => problem
                .step("Start it, or check the address in redis_url and the network between.")
                .act(MendAct::CheckAgain),
            E::ReadOnly { .. } => problem
                .step("Point redis_url to the master, or use redis+sentinel://.")
                .act(MendAct::CheckAgain),
            E::Insecure { .. } | E::Loading { .. } | E::UnknownScript { .. } | E::Refused { .. } => {
                problem.act(MendAct::CheckAgain)
            }
        }
    }
}

impl From<cache::Error> for Problem {
    fn from(error: cache::Error) -> Self {
        Self::from(&error)
    }
}

impl From<cache::Error> for Box<Problem> {
    fn from(error: cache::Error) -> Self {
        Box::new(Problem::from(&error))
    }
}
