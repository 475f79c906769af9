-- Loses the limits, who holds a slot under them, and who waits for one.

DROP TABLE limits;

DROP TABLE slots;

DROP TABLE slot_waits;
