"""Work on many processes and machines: training over `tf.distribute`, extraction in shards or on Apache Beam."""
