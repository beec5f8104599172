DROP TABLE audit; DROP TABLE session;
