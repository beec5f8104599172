DROP TABLE probe; DROP TABLE erasure_work; DROP TABLE erasure;
