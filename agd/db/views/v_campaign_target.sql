-- What each campaign seeks, one row per property; the first is the one that its initial rows are known by.
CREATE OR REPLACE VIEW v_campaign_target AS
SELECT k.name AS campaign, t.position, t.property, p.unit, t.low, t.high, p.description, k.id AS campaign_id
FROM (SELECT id AS campaign_id, 1 AS position, property, target_low AS low, target_high AS high FROM campaign
      UNION ALL SELECT campaign_id, position, property, low, high FROM campaign_target) t
JOIN campaign k ON k.id = t.campaign_id
JOIN property p ON p.name = t.property;
