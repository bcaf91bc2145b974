-- The datasets whose compositions a campaign takes for known: those that it names, and those that its first labels and
-- its oracles' come from.
CREATE OR REPLACE VIEW v_known_dataset AS
SELECT campaign_id, dataset_id FROM campaign_known
UNION
SELECT q.campaign_id, s.dataset_id
FROM campaign_set q JOIN training_set_source s ON s.training_set_id = q.training_set_id
WHERE q.role <> 'autoencoder';
