-- What people have said of a campaign: one row per campaign, from the rows of campaign_event; none of it is in any hash.
CREATE OR REPLACE VIEW v_campaign_about AS
SELECT k.id AS campaign_id, k.name AS campaign,
       array(SELECT t.value FROM (SELECT DISTINCT ON (e.value) e.value, e.kind FROM campaign_event e
                                  WHERE e.campaign_id = k.id AND e.kind IN ('tag', 'untag')
                                  ORDER BY e.value, e.id DESC) t
             WHERE t.kind = 'tag' ORDER BY t.value COLLATE "C") AS tags,
       coalesce((SELECT e.kind = 'archive' FROM campaign_event e
                 WHERE e.campaign_id = k.id AND e.kind IN ('archive', 'unarchive') ORDER BY e.id DESC LIMIT 1), false)
           AS is_archived,
       (SELECT e.value FROM campaign_event e WHERE e.campaign_id = k.id AND e.kind = 'note' ORDER BY e.id DESC LIMIT 1)
           AS last_note,
       (SELECT count(*) FROM campaign_event e WHERE e.campaign_id = k.id AND e.kind = 'note') AS n_notes,
       array(SELECT e.value FROM campaign_event e WHERE e.campaign_id = k.id AND e.kind = 'rename' ORDER BY e.id)
           AS former_names
FROM campaign k;
