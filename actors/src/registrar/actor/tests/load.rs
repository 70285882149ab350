//! Many agents at once.

use super::*;

#[test]
fn thousands_of_agents_are_registered_in_batches_that_grow_under_load() {
    paused(async {
        let world = World::fast().await;
        let ids = (0..20_000).map(|n| id(&format!("seller/{n}"))).collect();
        let agents = world.arbiters.spawn_many(ids, |_| Seller, SpawnOptions::default()).await.unwrap();
        let agents: Vec<_> = agents.iter().map(AgentRef::handle).collect();
        let requests = world.enlist(&agents).await.unwrap();
        assert!(requests.iter().all(|request| *request.status() == Status::Completed));
        assert!(requests.iter().map(|r| &r.agent).eq(agents.iter().map(AgentHandle::id)));
        let status = world.status().await;
        assert_eq!((status.agents, status.completed, status.in_flight), (20_000, 20_000, 0));
        assert!(status.mean_batch_size > 100.0, "the first batch has 20, the last over 300: {status:?}");
        let in_order = world.directory.agents();
        assert!(in_order.iter().map(AgentHandle::id).eq(agents.iter().map(AgentHandle::id)));
        let all = agents.iter().map(|agent| agent.id().clone()).collect();
        assert_eq!(world.asked(Delist(all)).await.unwrap(), 20_000);
        world.assert_only(&[]);
    });
}
