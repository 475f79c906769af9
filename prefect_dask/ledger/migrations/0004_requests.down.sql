-- Loses what was asked of runs, such as to be cancelled, and how that was answered.

DROP TABLE requests;
