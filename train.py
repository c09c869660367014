from srgan_tf.commands import train

train.run()
