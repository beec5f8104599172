//! The table of all operations: the document is made of it, and a test holds it against the router.

use super::operation::{
    Needs::{Admin, Nobody, Operator, Push, Read, Signature, Token},
    Operation,
    Shape::{Many, One, Text},
    delete, get, post, put,
};

/// Every operation of the hub, console pages left out: those are for people. `HEAD` goes wherever `GET` does, except where a `GET` has an effect.
pub const OPERATIONS: &[Operation] = &[
    get("/", Nobody, "Where things are", 200, One("Root")),
    get(
        "/health/live",
        Nobody,
        "Whether the program lives",
        200,
        One("Health"),
    ),
    get(
        "/health/ready",
        Nobody,
        "Whether it takes messages; 503 with the reasons",
        200,
        One("Health"),
    )
    .or(503, One("Health")),
    get(
        "/metrics",
        Nobody,
        "Figures in the OpenMetrics text format",
        200,
        Text,
    ),
    get(
        "/api/openapi.json",
        Nobody,
        "This document",
        200,
        One("OpenApi"),
    ),
    get(
        "/api/samples",
        Nobody,
        "The types there are sample messages of",
        200,
        One("Names"),
    ),
    get(
        "/api/samples/{name}",
        Nobody,
        "A whole sample message",
        200,
        One("Sample"),
    )
    .asking(&["version"]),
    post(
        "/api/login",
        Nobody,
        "The stores that a token opens",
        200,
        One("LoginAnswer"),
    )
    .with("Login")
    .as_form(),
    post(
        "/api/signup",
        Nobody,
        "A new store, for whoever has the operator's token",
        201,
        One("SignupAnswer"),
    )
    .with("SignupHub")
    .as_form(),
    post(
        "/push",
        Push,
        "Objects of the second dialect",
        202,
        One("Counts"),
    )
    .with("Objects")
    .for_store(),
    post(
        "/hooks/spree/{store}",
        Signature,
        "A shop's webhook",
        202,
        One("Taken"),
    )
    .with("Webhook"),
    get(
        "/api/stores",
        Token,
        "The stores that the caller may see",
        200,
        Many("Store"),
    ),
    post("/api/stores", Operator, "Makes a store", 201, One("Store")).with("StoreWrite"),
    get("/api/stores/{store}", Read, "A store", 200, One("Store")),
    put(
        "/api/stores/{store}",
        Admin,
        "Changes a store",
        200,
        One("Store"),
    )
    .with("StoreWrite"),
    delete(
        "/api/stores/{store}",
        Operator,
        "Deletes a store with all that is its own",
        200,
        One("Store"),
    ),
    get(
        "/api/stores/{store}/tokens",
        Admin,
        "A store's tokens",
        200,
        Many("Token"),
    ),
    post(
        "/api/stores/{store}/tokens",
        Admin,
        "Makes a token",
        201,
        One("Token"),
    )
    .with("TokenWrite"),
    delete(
        "/api/stores/{store}/tokens/{id}",
        Admin,
        "Ends a token",
        200,
        One("Token"),
    ),
    post(
        "/api/stores/{store}/messages",
        Push,
        "Pushes a message; answered after the commit",
        201,
        One("Pushed"),
    )
    .with("MessagePush")
    .keyed(),
    post(
        "/api/stores/{store}/messages/batch",
        Push,
        "Pushes many messages; one bad one does not spoil the rest",
        200,
        One("BatchAnswer"),
    )
    .with("Batch")
    .as_lines()
    .keyed(),
    get(
        "/api/stores/{store}/messages/{id}",
        Read,
        "A message or a delivery",
        200,
        One("Message"),
    ),
    put(
        "/api/stores/{store}/messages/{id}",
        Admin,
        "Tries a waiting delivery now, or archives it",
        200,
        One("Message"),
    )
    .with("MessageAction")
    .as_form(),
    get(
        "/api/stores/{store}/messages/{id}/attempts",
        Read,
        "What was sent and received at each attempt",
        200,
        One("AttemptList"),
    ),
    get(
        "/api/stores/{store}/queues",
        Read,
        "How much each queue and state holds",
        200,
        One("QueueStats"),
    ),
    get(
        "/api/stores/{store}/queues/{queue}",
        Read,
        "A page of a queue, newest first",
        200,
        One("QueuePage"),
    )
    .asking(&[
        "page",
        "after",
        "next",
        "message",
        "state",
        "filter_state",
        "start_date",
        "end_date",
        "message_id",
        "mapping_id",
        "object",
        "source",
        "consumer_class",
    ]),
    get(
        "/api/stores/{store}/mappings",
        Read,
        "A store's mappings, oldest first",
        200,
        Many("Mapping"),
    ),
    post(
        "/api/stores/{store}/mappings",
        Admin,
        "Makes a mapping",
        201,
        One("Mapping"),
    )
    .with("MappingWrite"),
    get(
        "/api/stores/{store}/mappings/{id}",
        Read,
        "A mapping",
        200,
        One("Mapping"),
    ),
    put(
        "/api/stores/{store}/mappings/{id}",
        Admin,
        "Changes what is named of a mapping",
        200,
        One("Mapping"),
    )
    .with("MappingWrite"),
    delete(
        "/api/stores/{store}/mappings/{id}",
        Admin,
        "Deletes a mapping",
        200,
        One("Mapping"),
    ),
    get(
        "/api/stores/{store}/parameters",
        Read,
        "A store's parameters, oldest first",
        200,
        Many("Parameter"),
    ),
    post(
        "/api/stores/{store}/parameters",
        Admin,
        "Makes a parameter",
        201,
        One("Parameter"),
    )
    .with("ParameterWrite"),
    get(
        "/api/stores/{store}/parameters/{id}",
        Read,
        "A parameter",
        200,
        One("Parameter"),
    ),
    put(
        "/api/stores/{store}/parameters/{id}",
        Admin,
        "Changes what is named of a parameter",
        200,
        One("Parameter"),
    )
    .with("ParameterWrite"),
    delete(
        "/api/stores/{store}/parameters/{id}",
        Admin,
        "Deletes a parameter",
        200,
        One("Parameter"),
    ),
    get(
        "/api/stores/{store}/notifications",
        Read,
        "What was said about objects, newest first",
        200,
        One("NotificationPage"),
    )
    .asking(&[
        "page",
        "after",
        "next",
        "level",
        "reference_type",
        "reference_token",
        "message_id",
    ]),
    get(
        "/api/stores/{store}/available_messages",
        Read,
        "The message types this store has had",
        200,
        One("Names"),
    ),
    get(
        "/api/stores/{store}/available_keys",
        Read,
        "The older name of available_messages",
        200,
        One("Names"),
    ),
    get(
        "/api/stores/{store}/objects/{type}/{token}",
        Read,
        "All that happened to one object",
        200,
        One("Timeline"),
    )
    .asking(&["after", "next"]),
    delete(
        "/api/stores/{store}/objects/{type}/{token}",
        Admin,
        "Begins to erase an object and all that is known of it",
        202,
        One("Erasure"),
    ),
    post(
        "/api/stores/{store}/objects/{type}/{token}/link",
        Read,
        "A signed link to an object's page, for a frame in the shop's admin",
        201,
        One("Link"),
    )
    .with("LinkWrite"),
    get(
        "/api/stores/{store}/erasures",
        Admin,
        "What was erased on request, newest first",
        200,
        One("ErasurePage"),
    )
    .asking(&["after", "next"]),
    post(
        "/api/stores/{store}/erasures",
        Admin,
        "Begins to erase everything of a customer",
        202,
        One("Erasure"),
    )
    .with("ErasureWrite"),
    post(
        "/api/stores/{store}/queues/accepted/retry",
        Admin,
        "Tries many waiting deliveries now, as a stored job",
        202,
        One("Job"),
    )
    .or(200, One("JobCount"))
    .with("JobWrite"),
    post(
        "/api/stores/{store}/queues/accepted/archive",
        Admin,
        "Archives many waiting deliveries, as a stored job",
        202,
        One("Job"),
    )
    .or(200, One("JobCount"))
    .with("JobWrite"),
    get(
        "/api/stores/{store}/actions",
        Read,
        "Bulk actions upon what waits, newest first",
        200,
        One("ActionPage"),
    )
    .asking(&["after", "next"]),
    get(
        "/api/stores/{store}/actions/{id}",
        Read,
        "A bulk action with its progress",
        200,
        One("Job"),
    ),
    delete(
        "/api/stores/{store}/actions/{id}",
        Admin,
        "Stops a bulk action; before it begins that undoes it",
        200,
        One("Job"),
    ),
    post(
        "/api/stores/{store}/replays",
        Admin,
        "Sends archived deliveries again, as a stored job",
        202,
        One("Job"),
    )
    .or(200, One("JobCount"))
    .with("JobWrite"),
    get(
        "/api/stores/{store}/replays",
        Read,
        "Replays, newest first",
        200,
        One("ReplayPage"),
    )
    .asking(&["after", "next"]),
    get(
        "/api/stores/{store}/replays/{id}",
        Read,
        "A replay with its progress",
        200,
        One("Job"),
    ),
    delete(
        "/api/stores/{store}/replays/{id}",
        Admin,
        "Stops a replay; before it begins that undoes it",
        200,
        One("Job"),
    ),
    get(
        "/api/nodes",
        Operator,
        "The nodes that share the database, and what each serves",
        200,
        Many("Node"),
    ),
    get(
        "/api/integrations",
        Operator,
        "The integrations offered to every store",
        200,
        Many("Integration"),
    ),
    post(
        "/api/integrations",
        Operator,
        "Offers an application to every store",
        201,
        One("Integration"),
    )
    .with("IntegrationWrite")
    .as_form(),
    get(
        "/api/integrations/{id}",
        Operator,
        "A global integration",
        200,
        One("Integration"),
    ),
    put(
        "/api/integrations/{id}",
        Operator,
        "Changes a global integration, and the mappings of every store that follow it",
        200,
        One("Integration"),
    )
    .with("IntegrationWrite")
    .as_form(),
    delete(
        "/api/integrations/{id}",
        Operator,
        "Removes a global integration with the mappings of every store",
        200,
        One("Integration"),
    ),
    post(
        "/api/integrations/{id}/refresh",
        Operator,
        "Has endpoint.json read anew",
        202,
        One("Integration"),
    ),
    get(
        "/api/stores/{store}/integrations",
        Read,
        "A store's own integrations and the global ones",
        200,
        Many("Integration"),
    ),
    post(
        "/api/stores/{store}/integrations",
        Admin,
        "Registers an application by its address",
        201,
        One("Integration"),
    )
    .with("IntegrationWrite")
    .as_form(),
    get(
        "/api/stores/{store}/integrations/{id}",
        Read,
        "An integration",
        200,
        One("Integration"),
    ),
    put(
        "/api/stores/{store}/integrations/{id}",
        Admin,
        "Changes an integration; a global one is the operator's",
        200,
        One("Integration"),
    )
    .with("IntegrationWrite")
    .as_form(),
    delete(
        "/api/stores/{store}/integrations/{id}",
        Admin,
        "Removes an integration with its mappings; of a global one the store's mappings",
        200,
        One("Integration"),
    ),
    post(
        "/api/stores/{store}/integrations/{id}/signup",
        Admin,
        "Makes mappings and parameters of what a person filled in",
        201,
        Many("Mapping"),
    )
    .with("Signup")
    .as_form(),
    post(
        "/api/stores/{store}/integrations/{id}/refresh",
        Admin,
        "Has endpoint.json read anew",
        202,
        One("Integration"),
    ),
    get(
        "/api/stores/{store}/integrations/{id}/enable_mappings",
        Admin,
        "Switches the mappings of an integration on",
        200,
        Many("Mapping"),
    ),
    post(
        "/api/stores/{store}/integrations/{id}/enable_mappings",
        Admin,
        "Switches the mappings of an integration on",
        200,
        Many("Mapping"),
    ),
    get(
        "/api/stores/{store}/integrations/{id}/disable_mappings",
        Admin,
        "Switches the mappings of an integration off, except required ones",
        200,
        Many("Mapping"),
    ),
    post(
        "/api/stores/{store}/integrations/{id}/disable_mappings",
        Admin,
        "Switches the mappings of an integration off, except required ones",
        200,
        Many("Mapping"),
    ),
    get(
        "/api/stores/{store}/schedulers",
        Read,
        "A store's schedulers, oldest first",
        200,
        Many("Scheduler"),
    ),
    post(
        "/api/stores/{store}/schedulers",
        Admin,
        "Makes a scheduler",
        201,
        One("Scheduler"),
    )
    .with("SchedulerWrite")
    .as_form(),
    get(
        "/api/stores/{store}/schedulers/{id}",
        Read,
        "A scheduler",
        200,
        One("Scheduler"),
    ),
    put(
        "/api/stores/{store}/schedulers/{id}",
        Admin,
        "Changes what is named of a scheduler",
        200,
        One("Scheduler"),
    )
    .with("SchedulerWrite")
    .as_form(),
    delete(
        "/api/stores/{store}/schedulers/{id}",
        Admin,
        "Deletes a scheduler",
        200,
        One("Scheduler"),
    ),
    get(
        "/api/stores/{store}/rules",
        Read,
        "A store's rules, oldest first",
        200,
        Many("Rule"),
    ),
    post(
        "/api/stores/{store}/rules",
        Admin,
        "Makes a rule",
        201,
        One("Rule"),
    )
    .with("RuleWrite"),
    get(
        "/api/stores/{store}/rules/{id}",
        Read,
        "A rule",
        200,
        One("Rule"),
    ),
    put(
        "/api/stores/{store}/rules/{id}",
        Admin,
        "Changes what is named of a rule",
        200,
        One("Rule"),
    )
    .with("RuleWrite"),
    delete(
        "/api/stores/{store}/rules/{id}",
        Admin,
        "Deletes a rule",
        200,
        One("Rule"),
    ),
    post(
        "/api/stores/{store}/rules/dry_run",
        Read,
        "What a rule would have made of recent messages",
        200,
        One("DryRun"),
    )
    .with("RuleWrite"),
    post(
        "/api/stores/{store}/rules/{id}/dry_run",
        Read,
        "What a stored rule would have made of recent messages",
        200,
        One("DryRun"),
    ),
    get(
        "/api/stores/{store}/endpoints",
        Read,
        "How each endpoint fares",
        200,
        Many("Endpoint"),
    ),
    post(
        "/api/stores/{store}/endpoints/{id}/pause",
        Admin,
        "Everything for an endpoint waits",
        200,
        One("Paused"),
    ),
    post(
        "/api/stores/{store}/endpoints/{id}/resume",
        Admin,
        "An endpoint gets its messages again",
        200,
        One("Paused"),
    ),
    get(
        "/api/stores/{store}/health",
        Read,
        "The heartbeat of the store's shop",
        200,
        One("ShopHealth"),
    ),
    post(
        "/api/stores/{store}/poll",
        Admin,
        "Polls the shop now",
        202,
        One("Asked"),
    ),
    post(
        "/api/stores/{store}/probe",
        Admin,
        "Finds out anew which shop it is",
        202,
        One("Asked"),
    ),
    get(
        "/api/stores/{store}/set_aside",
        Read,
        "Documents of the shop that could not be read",
        200,
        One("SetAsidePage"),
    )
    .asking(&["next"]),
    get(
        "/api/stores/{store}/backfills",
        Read,
        "Backfills, newest first",
        200,
        Many("Backfill"),
    ),
    post(
        "/api/stores/{store}/backfills",
        Admin,
        "Begins to tell the shop's past",
        202,
        One("Backfill"),
    )
    .with("BackfillWrite"),
    get(
        "/api/stores/{store}/backfills/{id}",
        Read,
        "A backfill",
        200,
        One("Backfill"),
    ),
    delete(
        "/api/stores/{store}/backfills/{id}",
        Admin,
        "Stops a backfill",
        200,
        One("Backfill"),
    ),
];
