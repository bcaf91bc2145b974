-- Every suggestion as it stands: the table's columns, with what came after decoding and labelling taken into account.
CREATE OR REPLACE VIEW v_suggestion_state AS
SELECT s.id AS suggestion_id, s.campaign_id, s.iteration_id, s.rank, s.proposed, s.latent_id,
       s.posterior_mean, s.posterior_sd, s.acquisition, s.activity_id,
       CASE WHEN g.suggestion_id IS NULL THEN s.outcome ELSE 'unanswered' END AS outcome,
       coalesce(g.reason, s.reason) AS reason,
       s.composition_id, s.decode_activity_id,
       coalesce(r.label_id, s.label_id) AS label_id,
       coalesce(r.activity_id, s.label_activity_id) AS label_activity_id
FROM suggestion s
LEFT JOIN given_up g ON g.suggestion_id = s.id
LEFT JOIN label_replacement r ON r.suggestion_id = s.id
     AND r.number = (SELECT max(n.number) FROM label_replacement n WHERE n.suggestion_id = r.suggestion_id);
