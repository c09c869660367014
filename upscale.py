from srgan_tf.commands import upscale

upscale.run()
