from srgan_tf.commands import evaluate

evaluate.run()
