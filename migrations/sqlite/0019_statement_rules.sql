-- The statement rule that asks for an approval of the one statement that a request is for; the access rule does if it is NULL.
ALTER TABLE requests ADD COLUMN statement_rule TEXT;
